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
  add_executable(${NAME} ${ARG_SOURCES})
  add_dependencies(${NAME} ${ARG_MODULE})
  target_compile_definitions(${NAME} PRIVATE IMCTL_TEST_MODULE="$<TARGET_FILE:${ARG_MODULE}>")
  imctl_module_options(${NAME})
  target_link_libraries(${NAME} PRIVATE imctl::testing ${ARG_LIBRARIES})
  if(TARGET "${ARG_MODULE}-messages")
    target_link_libraries(${NAME} PRIVATE "${ARG_MODULE}-messages")
  endif()
  add_test(NAME ${NAME} COMMAND ${NAME})
endfunction()
