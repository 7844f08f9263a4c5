# The PostgreSQL back end. Included by ../CMakeLists.txt, after add_storage() is there.
pkg_check_modules(LIBPQ REQUIRED IMPORTED_TARGET libpq)

add_storage_engine(postgresql
  SOURCES
    buckets.cc connection.cc errors.cc listener.cc load.cc mailboxes.cc mailboxes_append.cc messages.cc
    messages_clean.cc options.cc postgresql_engine.cc records.cc records_commit.cc schema.cc server.cc
    snapshot.cc transaction.cc
  LIBRARIES PkgConfig::LIBPQ PkgConfig::SODIUM)
add_storage(storage-postgresql postgresql OUTPUT_DIRECTORY "${IMCTL_MODULE_OUTPUT}")

install(TARGETS storage-postgresql LIBRARY DESTINATION ${IMCTL_MODULE_DESTINATION})

if(IMCTL_TESTS)
  find_package(GTest REQUIRED)
  add_executable(storage-postgresql-test
    postgresql/postgresql_test.cc postgresql/postgresql_hosts_test.cc postgresql/test_server.cc)
  imctl_module_options(storage-postgresql-test)
  target_link_libraries(storage-postgresql-test PRIVATE
    storage-postgresql-engine GTest::gtest_main)
  set_target_properties(storage-postgresql-test PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}")
  add_test(NAME storage-postgresql COMMAND storage-postgresql-test)
  imctl_nogrpc_test(storage-postgresql storage-postgresql-test)
  set_tests_properties(storage-postgresql PROPERTIES TIMEOUT 300)

  # Engine against bare libpq; by hand.
  add_executable(storage-postgresql-bench EXCLUDE_FROM_ALL
    postgresql/postgresql_bench.cc postgresql/test_server.cc)
  imctl_module_options(storage-postgresql-bench)
  target_link_libraries(storage-postgresql-bench PRIVATE storage-postgresql-engine)
  set_target_properties(storage-postgresql-bench PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}")
endif()
