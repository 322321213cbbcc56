# SPDX-License-Identifier: Apache-2.0
# Language, warnings, hardening and sanitizers for every target.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON) # POSIX and Linux interfaces, statement attributes
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

option(FSPF_WERROR "treat warnings as errors" OFF)
set(FSPF_SANITIZE "" CACHE STRING "sanitizers: address,undefined or thread")

add_compile_definitions(_GNU_SOURCE _FILE_OFFSET_BITS=64 FSPF_VERSION="${PROJECT_VERSION}")
include_directories(${CMAKE_SOURCE_DIR})

add_compile_options(
  -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
  -Wold-style-definition -Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 -Wundef -Wvla
  -Wswitch-enum -Wredundant-decls -fno-strict-aliasing -fno-common)
if(FSPF_WERROR)
  add_compile_options(-Werror)
endif()

if(FSPF_SANITIZE)
  add_compile_options(-fsanitize=${FSPF_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${FSPF_SANITIZE})
  if(FSPF_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
else()
  add_compile_options(-fstack-protector-strong)
  if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    add_compile_definitions(_FORTIFY_SOURCE=2)
  endif()
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  add_link_options(-Wl,-z,relro,-z,now)
endif()
