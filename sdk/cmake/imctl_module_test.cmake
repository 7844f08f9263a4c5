# imctl_add_module_test(NAME
#   MODULE target                  of imctl_add_module
#   SOURCES file.cc...
#   [LIBRARIES target...])         GoogleTest, if you like
#
# A program that tests a module in a host in process: <imctl/testing.h>. It has the module's message code, and
# IMCTL_TEST_MODULE is the path of the module's shared object. Registered with ctest.
include_guard(GLOBAL)

function(imctl_add_module_test NAME)
  cmake_parse_arguments(ARG "" "MODULE" "SOURCES;LIBRARIES" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "imctl_add_module_test(${NAME}): what is '${ARG_UNPARSED_ARGUMENTS}'?")
  endif()
  if(NOT TARGET "${ARG_MODULE}")
    message(FATAL_ERROR "imctl_add_module_test(${NAME}): MODULE names no target of imctl_add_module")
  endif()
  get_target_property(code ${ARG_MODULE} IMCTL_MESSAGE_CODE)
  get_target_property(include ${ARG_MODULE} IMCTL_MESSAGE_INCLUDE)
  get_target_property(runtime ${ARG_MODULE} IMCTL_MESSAGE_RUNTIME)
  set_source_files_properties(${code} PROPERTIES COMPILE_OPTIONS "-w" GENERATED TRUE)
  add_executable(${NAME} ${ARG_SOURCES} ${code})
  add_dependencies(${NAME} ${ARG_MODULE})
  target_compile_definitions(${NAME} PRIVATE IMCTL_TEST_MODULE="$<TARGET_FILE:${ARG_MODULE}>")
  if(CMAKE_CXX_COMPILER_LOADED)
    target_compile_features(${NAME} PRIVATE cxx_std_20)
  endif()
  target_include_directories(${NAME} SYSTEM PRIVATE ${include})
  target_link_libraries(${NAME} PRIVATE imctl::testing ${runtime} ${ARG_LIBRARIES})
  add_test(NAME ${NAME} COMMAND ${NAME})
endfunction()
