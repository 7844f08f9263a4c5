# The PostgreSQL back end. Included by ../CMakeLists.txt, after add_storage() is there.
pkg_check_modules(LIBPQ REQUIRED IMPORTED_TARGET libpq)

set(postgresql_sources
  buckets.cc connection.cc errors.cc listener.cc load.cc mailboxes.cc mailboxes_append.cc messages.cc
  messages_clean.cc options.cc postgresql_engine.cc records.cc records_commit.cc schema.cc server.cc
  snapshot.cc transaction.cc)
function(add_storage_postgresql NAME)
  add_storage(${NAME} postgresql
    SOURCES module.cc ${postgresql_sources}
    LIBRARIES PkgConfig::LIBPQ PkgConfig::SODIUM
    ${ARGN})
endfunction()
add_storage_postgresql(storage-postgresql OUTPUT_DIRECTORY "${IMCTL_MODULE_OUTPUT}")

install(TARGETS storage-postgresql LIBRARY DESTINATION ${IMCTL_MODULE_DESTINATION})

if(IMCTL_TESTS)
  find_package(GTest REQUIRED)
  set(gen "${CMAKE_CURRENT_BINARY_DIR}/storage-postgresql.gen")
  set(engine_sources ${postgresql_sources})
  list(TRANSFORM engine_sources PREPEND postgresql/)
  set(engine_protos ${storage_protos} imctl/storage/postgresql/v1/config.proto)
  list(TRANSFORM engine_protos REPLACE "\\.proto$" ".pb.cc")
  list(TRANSFORM engine_protos PREPEND "${gen}/")
  add_library(storage-postgresql-engine STATIC
    common/message.cc common/settings.cc common/watchers.cc ${engine_sources} ${engine_protos})
  # The message code is made for the module.
  add_dependencies(storage-postgresql-engine storage-postgresql)
  set_source_files_properties(${engine_protos} PROPERTIES COMPILE_OPTIONS "-w" GENERATED TRUE)
  target_compile_features(storage-postgresql-engine PUBLIC cxx_std_20)
  target_include_directories(storage-postgresql-engine PUBLIC
    "${IMCTL_SDK_INCLUDE}" common postgresql)
  target_include_directories(storage-postgresql-engine SYSTEM PUBLIC
    "${IMCTL_SDK_INCLUDE}/imctl/lite" "${gen}")
  target_link_libraries(storage-postgresql-engine PUBLIC
    PkgConfig::LIBPQ PkgConfig::SODIUM protobuf::libprotobuf Threads::Threads)

  add_executable(storage-postgresql-test
    postgresql/postgresql_test.cc postgresql/postgresql_hosts_test.cc postgresql/test_server.cc)
  target_link_libraries(storage-postgresql-test PRIVATE
    storage-postgresql-engine GTest::gtest_main)
  set_target_properties(storage-postgresql-test PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}")
  add_test(NAME storage-postgresql COMMAND storage-postgresql-test)
  set_tests_properties(storage-postgresql PROPERTIES LABELS nogrpc TIMEOUT 300)

  # Engine against bare libpq; by hand.
  add_executable(storage-postgresql-bench EXCLUDE_FROM_ALL
    postgresql/postgresql_bench.cc postgresql/test_server.cc)
  target_link_libraries(storage-postgresql-bench PRIVATE storage-postgresql-engine)
  set_target_properties(storage-postgresql-bench PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}")
endif()
