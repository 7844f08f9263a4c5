# imctl_add_module(NAME
#   MANIFEST module.txtpb          text form of imctl.Manifest without descriptors and ABI fields
#   PROTOS file.proto...           compiled into the module, relative to PROTO_ROOT
#   SOURCES file.cc...
#   [PROTO_ROOT dir]...            import folders, the module's own first; default: proto/. The SDK's own
#                                  .proto files (imctl/storage/v1/records.proto, ...) are always found
#   [VERSION x.y.z]                default: PROJECT_VERSION
#   [OUTPUT_DIRECTORY dir]
#   [LIBRARIES target...]          what several modules share, or a module and its tests: static libraries with
#                                  imctl_module_options(). Those of imctl_add_messages() bring their message code
#   [MESSAGES c++|c|none]          the message code that is made: C++ (protobuf's lite runtime, the default),
#                                  C (protobuf-c), or none: the module brings its own
#   [BUILTIN])                     an object library for the host itself instead of a .so
# The message code is a static library, NAME-messages, for others that speak to the module: its tests.
#
# Makes NAME.so so that its message code cannot collide with another module's in one process:
#   - lite runtime, so no descriptor is registered in the process-wide pool (two modules with a .proto of
#     the same path would abort the process there);
#   - hidden visibility, no GNU_UNIQUE symbols and a version script: one exported symbol, and dlclose
#     really unmaps.
# `install(TARGETS NAME DESTINATION ...)` puts it where it is to be; ${IMCTL_MODULE_DIR} is where imctl looks.
#
# imctl_add_messages(NAME PROTOS file.proto... [PROTO_ROOT dir...] [MESSAGES c++|c] [LIBRARIES target...])
#   That library by itself, when several modules need the same messages.
#
# imctl_module_options(TARGET)
#   Compiles TARGET as what goes into a module has to be: its symbols stay inside, it can be unloaded, and it uses
#   message code as modules have it. For what is linked into a module, and for tests of that.

include_guard(GLOBAL)
find_package(Protobuf REQUIRED)

set(IMCTL_CMAKE_DIR "${CMAKE_CURRENT_LIST_DIR}")
# An installation has them elsewhere than the sources, and its imctl-config.cmake says where.
if(NOT IMCTL_SDK_INCLUDE)
  get_filename_component(IMCTL_SDK_DIR "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
  set(IMCTL_SDK_INCLUDE "${IMCTL_SDK_DIR}/include")
  set(IMCTL_SDK_PROTO "${IMCTL_SDK_DIR}/proto")
  set(IMCTL_SDK_SHARE "${IMCTL_CMAKE_DIR}")
endif()

# While the ABI is 0, module and host must be built with the same text of module.h.
file(SHA256 "${IMCTL_SDK_INCLUDE}/imctl/module.h" IMCTL_ABI_PIN)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
  "${IMCTL_SDK_INCLUDE}/imctl/module.h")

function(imctl_module_options TARGET)
  set_target_properties(${TARGET} PROPERTIES
    POSITION_INDEPENDENT_CODE ON
    CXX_VISIBILITY_PRESET hidden C_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  if(CMAKE_CXX_COMPILER_LOADED)
    target_compile_features(${TARGET} PUBLIC cxx_std_20 c_std_11)
  else()
    target_compile_features(${TARGET} PUBLIC c_std_11)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${TARGET} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-gnu-unique>)
  endif()
  target_include_directories(${TARGET} PUBLIC "${IMCTL_SDK_INCLUDE}")
  # Instead of the generated header of imctl/options.proto.
  target_include_directories(${TARGET} SYSTEM PRIVATE
    "${IMCTL_SDK_INCLUDE}/imctl/lite" "${IMCTL_SDK_INCLUDE}/imctl/c")
endfunction()

# The folders that .proto files are looked for in, and the file of each; for NAME, in messages.
function(imctl_find_protos NAME ROOTS FILES)
  cmake_parse_arguments(ARG "" "" "PROTO_ROOT;PROTOS" ${ARGN})
  if(NOT ARG_PROTO_ROOT)
    set(ARG_PROTO_ROOT "${CMAKE_CURRENT_SOURCE_DIR}/proto")
  endif()
  set(roots "")
  foreach(root IN LISTS ARG_PROTO_ROOT IMCTL_SDK_PROTO)
    get_filename_component(root "${root}" ABSOLUTE)
    list(APPEND roots "${root}")
  endforeach()
  set(files "")
  foreach(proto IN LISTS ARG_PROTOS)
    set(found "")
    foreach(root IN LISTS roots)
      if(EXISTS "${root}/${proto}" AND NOT found)
        set(found "${root}/${proto}")
      endif()
    endforeach()
    if(NOT found)
      message(FATAL_ERROR "${NAME}: ${proto} is in none of ${roots}")
    endif()
    list(APPEND files "${found}")
  endforeach()
  set(${ROOTS} "${roots}" PARENT_SCOPE)
  set(${FILES} "${files}" PARENT_SCOPE)
endfunction()

function(imctl_add_messages NAME)
  cmake_parse_arguments(ARG "" "MESSAGES" "PROTOS;PROTO_ROOT;LIBRARIES" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "imctl_add_messages(${NAME}): what is '${ARG_UNPARSED_ARGUMENTS}'?")
  endif()
  imctl_find_protos("imctl_add_messages(${NAME})" roots files
    PROTO_ROOT ${ARG_PROTO_ROOT} PROTOS ${ARG_PROTOS})

  # How message code is made, how its files end, and what they need.
  set(plugin "")
  if(NOT ARG_MESSAGES OR ARG_MESSAGES STREQUAL "c++")
    set(message_option "--cpp_out=lite:")
    set(endings .pb.cc .pb.h)
    set(runtime protobuf::libprotobuf)
  elseif(ARG_MESSAGES STREQUAL "c")
    find_program(IMCTL_PROTOC_GEN_C protoc-gen-c)
    find_library(IMCTL_PROTOBUF_C protobuf-c)
    if(NOT IMCTL_PROTOC_GEN_C OR NOT IMCTL_PROTOBUF_C)
      message(FATAL_ERROR "imctl_add_messages(${NAME}): MESSAGES c needs protobuf-c "
        "(Debian: protobuf-c-compiler and libprotobuf-c-dev)")
    endif()
    set(plugin "--plugin=${IMCTL_PROTOC_GEN_C}")
    set(message_option "--c_out=")
    set(endings .pb-c.c .pb-c.h)
    set(runtime "${IMCTL_PROTOBUF_C}")
  else()
    message(FATAL_ERROR "imctl_add_messages(${NAME}): MESSAGES is c++ or c, not ${ARG_MESSAGES}")
  endif()

  set(gen "${CMAKE_CURRENT_BINARY_DIR}/${NAME}.gen")
  file(MAKE_DIRECTORY "${gen}")
  list(TRANSFORM roots PREPEND "-I" OUTPUT_VARIABLE imports)
  set(generated "")
  foreach(proto file IN ZIP_LISTS ARG_PROTOS files)
    string(REGEX REPLACE "\\.proto$" "" stem "${proto}")
    set(made "${endings}")
    list(TRANSFORM made PREPEND "${gen}/${stem}")
    add_custom_command(
      OUTPUT ${made}
      COMMAND protobuf::protoc ${plugin} "${message_option}${gen}" ${imports} "${proto}"
      DEPENDS "${file}"
      VERBATIM)
    list(GET made 0 code)
    list(APPEND generated "${code}")
  endforeach()
  # Generated code is not held to our warnings.
  set_source_files_properties(${generated} PROPERTIES COMPILE_OPTIONS "-w")
  add_library(${NAME} STATIC ${generated})
  imctl_module_options(${NAME})
  target_include_directories(${NAME} SYSTEM PUBLIC "${gen}")
  target_link_libraries(${NAME} PUBLIC ${runtime} ${ARG_LIBRARIES})
  set_target_properties(${NAME} PROPERTIES IMCTL_PROTOS "${ARG_PROTOS}")
endfunction()

function(imctl_add_module NAME)
  cmake_parse_arguments(ARG "BUILTIN" "MANIFEST;VERSION;OUTPUT_DIRECTORY;MESSAGES"
    "PROTOS;SOURCES;PROTO_ROOT;LIBRARIES" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "imctl_add_module(${NAME}): what is '${ARG_UNPARSED_ARGUMENTS}'?")
  endif()
  if(NOT ARG_VERSION)
    set(ARG_VERSION "${PROJECT_VERSION}")
  endif()
  if(NOT ARG_VERSION)
    message(FATAL_ERROR "imctl_add_module(${NAME}): give VERSION here or in project()")
  endif()
  get_filename_component(manifest_text "${ARG_MANIFEST}" ABSOLUTE)

  imctl_find_protos("imctl_add_module(${NAME})" roots proto_files
    PROTO_ROOT ${ARG_PROTO_ROOT} PROTOS ${ARG_PROTOS})

  # The message code that none of the libraries has.
  set(missing "${ARG_PROTOS}")
  set(messages "")
  foreach(library IN LISTS ARG_LIBRARIES)
    if(TARGET "${library}")
      get_target_property(there ${library} IMCTL_PROTOS)
      if(there)
        list(REMOVE_ITEM missing ${there})
        list(APPEND messages ${library})
      endif()
    endif()
  endforeach()
  if(missing AND NOT ARG_MESSAGES STREQUAL "none")
    imctl_add_messages(${NAME}-messages PROTO_ROOT ${ARG_PROTO_ROOT} PROTOS ${missing}
      MESSAGES ${ARG_MESSAGES} LIBRARIES ${messages})
    list(APPEND ARG_LIBRARIES ${NAME}-messages)
  endif()

  set(gen "${CMAKE_CURRENT_BINARY_DIR}/${NAME}.gen")
  file(MAKE_DIRECTORY "${gen}")
  list(TRANSFORM roots PREPEND "-I" OUTPUT_VARIABLE imports)

  # The manifest: its own files with their comments, then all imports without, then the text's fields.
  set(manifest "${gen}/manifest.pb")
  file(WRITE "${gen}/abi.txtpb.new"
    "version: \"${ARG_VERSION}\"\nabi_min: 0\nabi_max: 0\nabi_pin: \"${IMCTL_ABI_PIN}\"\n")
  configure_file("${gen}/abi.txtpb.new" "${gen}/abi.txtpb" COPYONLY)
  set(descriptors "")
  set(concat "")
  if(ARG_PROTOS)
    set(descriptors
      COMMAND protobuf::protoc ${imports} --include_source_info
              "--descriptor_set_out=${gen}/own.pb" ${ARG_PROTOS}
      COMMAND protobuf::protoc ${imports} --include_imports
              "--descriptor_set_out=${gen}/imports.pb" ${ARG_PROTOS})
    set(concat "${gen}/own.pb" "${gen}/imports.pb")
  endif()
  add_custom_command(
    OUTPUT "${manifest}"
    ${descriptors}
    COMMAND sh -c "cat \"$1\" \"$2\" | \"$3\" -I\"$4\" --encode=imctl.Manifest imctl/manifest.proto > \"$5\""
            sh "${manifest_text}" "${gen}/abi.txtpb" "$<TARGET_FILE:protobuf::protoc>"
            "${IMCTL_SDK_PROTO}" "${gen}/head.pb"
    COMMAND sh -c "out=$1; shift; cat \"$@\" > \"$out\"" sh "${manifest}" ${concat} "${gen}/head.pb"
    DEPENDS "${manifest_text}" "${gen}/abi.txtpb" ${proto_files}
            "${IMCTL_SDK_PROTO}/imctl/manifest.proto" "${IMCTL_SDK_PROTO}/imctl/options.proto"
    VERBATIM)
  file(WRITE "${gen}/manifest.c.new"
    "#define IMCTL_MANIFEST_FILE \"${manifest}\"\n#include \"${IMCTL_SDK_SHARE}/manifest.c\"\n")
  configure_file("${gen}/manifest.c.new" "${gen}/manifest.c" COPYONLY)
  set_source_files_properties("${gen}/manifest.c" PROPERTIES OBJECT_DEPENDS "${manifest}")

  if(ARG_BUILTIN)
    add_library(${NAME} OBJECT ${ARG_SOURCES} "${gen}/manifest.c")
  else()
    add_library(${NAME} MODULE ${ARG_SOURCES} "${gen}/manifest.c")
    set_target_properties(${NAME} PROPERTIES PREFIX "" OUTPUT_NAME "${NAME}")
    target_link_options(${NAME} PRIVATE
      "-Wl,--version-script=${IMCTL_SDK_SHARE}/module.map" "-Wl,--no-undefined")
    set_property(TARGET ${NAME} APPEND PROPERTY LINK_DEPENDS "${IMCTL_SDK_SHARE}/module.map")
    if(ARG_OUTPUT_DIRECTORY)
      set_target_properties(${NAME} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${ARG_OUTPUT_DIRECTORY}")
    endif()
  endif()
  imctl_module_options(${NAME})
  target_link_libraries(${NAME} PRIVATE ${ARG_LIBRARIES})
endfunction()
