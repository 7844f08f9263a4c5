# imctl_add_module(NAME
#   MANIFEST module.txtpb          text form of imctl.Manifest without descriptors and ABI fields
#   PROTOS file.proto...           compiled into the module, relative to PROTO_ROOT
#   SOURCES file.cc...
#   [PROTO_ROOT dir]...            import folders, the module's own first; default: proto/
#   [VERSION x.y.z]                default: PROJECT_VERSION
#   [OUTPUT_DIRECTORY dir]
#   [LIBRARIES target...]
#   [BUILTIN])                     an object library for the host itself instead of a .so
#
# Makes NAME.so so that its message code cannot collide with another module's in one process:
#   - lite runtime, so no descriptor is registered in the process-wide pool (two modules with a .proto of
#     the same path would abort the process there);
#   - hidden visibility, no GNU_UNIQUE symbols and a version script: one exported symbol, and dlclose
#     really unmaps.

include_guard(GLOBAL)
find_package(Protobuf REQUIRED)

if(NOT IMCTL_SDK_DIR)
  get_filename_component(IMCTL_SDK_DIR "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
endif()
set(IMCTL_SDK_INCLUDE "${IMCTL_SDK_DIR}/include")
if(NOT IMCTL_SDK_PROTO)
  set(IMCTL_SDK_PROTO "${IMCTL_SDK_DIR}/proto")
endif()
set(IMCTL_CMAKE_DIR "${CMAKE_CURRENT_LIST_DIR}")

# While the ABI is 0, module and host must be built with the same text of module.h.
file(SHA256 "${IMCTL_SDK_INCLUDE}/imctl/module.h" IMCTL_ABI_PIN)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
  "${IMCTL_SDK_INCLUDE}/imctl/module.h")

function(imctl_add_module NAME)
  cmake_parse_arguments(ARG "BUILTIN" "MANIFEST;VERSION;OUTPUT_DIRECTORY"
    "PROTOS;SOURCES;PROTO_ROOT;LIBRARIES" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "imctl_add_module(${NAME}): what is '${ARG_UNPARSED_ARGUMENTS}'?")
  endif()
  if(NOT ARG_VERSION)
    set(ARG_VERSION "${PROJECT_VERSION}")
  endif()
  if(NOT ARG_PROTO_ROOT)
    set(ARG_PROTO_ROOT "${CMAKE_CURRENT_SOURCE_DIR}/proto")
  endif()
  get_filename_component(manifest_text "${ARG_MANIFEST}" ABSOLUTE)

  set(gen "${CMAKE_CURRENT_BINARY_DIR}/${NAME}.gen")
  file(MAKE_DIRECTORY "${gen}")
  set(imports "")
  foreach(root IN LISTS ARG_PROTO_ROOT)
    get_filename_component(root "${root}" ABSOLUTE)
    list(APPEND imports "-I${root}")
  endforeach()
  list(APPEND imports "-I${IMCTL_SDK_PROTO}")

  # Message code.
  set(generated "")
  set(proto_files "")
  foreach(proto IN LISTS ARG_PROTOS)
    string(REGEX REPLACE "\\.proto$" "" stem "${proto}")
    set(found "")
    foreach(root IN LISTS ARG_PROTO_ROOT)
      get_filename_component(root "${root}" ABSOLUTE)
      if(EXISTS "${root}/${proto}" AND NOT found)
        set(found "${root}/${proto}")
      endif()
    endforeach()
    if(NOT found)
      message(FATAL_ERROR "imctl_add_module(${NAME}): ${proto} is in none of ${ARG_PROTO_ROOT}")
    endif()
    list(APPEND proto_files "${found}")
    add_custom_command(
      OUTPUT "${gen}/${stem}.pb.cc" "${gen}/${stem}.pb.h"
      COMMAND protobuf::protoc "--cpp_out=lite:${gen}" ${imports} "${proto}"
      DEPENDS "${found}"
      VERBATIM)
    list(APPEND generated "${gen}/${stem}.pb.cc")
  endforeach()

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
  set(IMCTL_MANIFEST_FILE "${manifest}")
  configure_file("${IMCTL_CMAKE_DIR}/manifest.c.in" "${gen}/manifest.c" @ONLY)
  set_source_files_properties("${gen}/manifest.c" PROPERTIES OBJECT_DEPENDS "${manifest}")
  # Generated code is not held to our warnings.
  set_source_files_properties(${generated} PROPERTIES COMPILE_OPTIONS "-w")

  if(ARG_BUILTIN)
    add_library(${NAME} OBJECT ${ARG_SOURCES} ${generated} "${gen}/manifest.c")
  else()
    add_library(${NAME} MODULE ${ARG_SOURCES} ${generated} "${gen}/manifest.c")
    set_target_properties(${NAME} PROPERTIES PREFIX "" OUTPUT_NAME "${NAME}")
    target_link_options(${NAME} PRIVATE
      "-Wl,--version-script=${IMCTL_CMAKE_DIR}/module.map" "-Wl,--no-undefined")
    set_property(TARGET ${NAME} APPEND PROPERTY LINK_DEPENDS "${IMCTL_CMAKE_DIR}/module.map")
    if(ARG_OUTPUT_DIRECTORY)
      set_target_properties(${NAME} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${ARG_OUTPUT_DIRECTORY}")
    endif()
  endif()
  set_target_properties(${NAME} PROPERTIES
    POSITION_INDEPENDENT_CODE ON
    CXX_VISIBILITY_PRESET hidden C_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  target_compile_features(${NAME} PRIVATE cxx_std_20 c_std_11)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${NAME} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-gnu-unique>)
  endif()
  target_include_directories(${NAME} PRIVATE "${IMCTL_SDK_INCLUDE}")
  target_include_directories(${NAME} SYSTEM PRIVATE
    "${IMCTL_SDK_INCLUDE}/imctl/lite" "${gen}")
  target_link_libraries(${NAME} PRIVATE protobuf::libprotobuf ${ARG_LIBRARIES})
endfunction()
