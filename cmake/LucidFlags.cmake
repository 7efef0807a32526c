# How everything is compiled. `lucid_flags` is linked by every target of the project,
# `lucid_library_flags` only by the allocator itself.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)

add_library(lucid_flags INTERFACE)
target_include_directories(lucid_flags INTERFACE
    ${PROJECT_SOURCE_DIR}/include
    ${PROJECT_SOURCE_DIR}/src
)
target_compile_definitions(lucid_flags INTERFACE
    _GNU_SOURCE
    LUCID_CHECKED=$<BOOL:${LUCID_CHECKED}>
    LUCID_STRESS=$<BOOL:${LUCID_STRESS}>
    LUCID_PAGE_SIZE=${LUCID_PAGE_SIZE}
)
set(warnings -Wall -Wextra -Wundef -Wshadow -Wconversion)
target_compile_options(lucid_flags INTERFACE
    ${warnings}
    $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
    $<$<BOOL:${LUCID_WERROR}>:-Werror>
)

if(NOT LUCID_PAGE_SIZE MATCHES "^(0|4096|16384|65536)$")
    message(FATAL_ERROR "LUCID_PAGE_SIZE=${LUCID_PAGE_SIZE}: use 4096, 16384 or 65536, "
        "or 0 for the machine's own.")
endif()

if(LUCID_SANITIZE)
    if(NOT LUCID_SANITIZE MATCHES "^(thread|address|undefined)$")
        message(FATAL_ERROR "LUCID_SANITIZE=${LUCID_SANITIZE}: use thread, address or undefined.")
    endif()
    if(LUCID_OVERRIDE AND NOT LUCID_SANITIZE STREQUAL "undefined")
        message(FATAL_ERROR
            "LUCID_SANITIZE=${LUCID_SANITIZE} brings a malloc of its own: "
            "add -DLUCID_OVERRIDE=OFF.")
    endif()
    set(sanitize -fsanitize=${LUCID_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_compile_options(lucid_flags INTERFACE ${sanitize})
    target_link_options(lucid_flags INTERFACE ${sanitize})
endif()

# `lucid_counted` is linked by what scripts/coverage reports on: the allocator and the command, not
# the tests. The counters lie in a shared mapping of the file that LLVM_PROFILE_FILE names, so that
# a process that aborts, is killed or ends by _exit loses none, and an end costs nothing.
add_library(lucid_counted INTERFACE)
if(LUCID_COVERAGE)
    if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
        message(FATAL_ERROR "LUCID_COVERAGE needs clang: add -DCMAKE_C_COMPILER=clang.")
    endif()
    target_compile_options(lucid_counted INTERFACE
        -fprofile-instr-generate
        -fcoverage-mapping
        -fprofile-update=atomic
        "SHELL:-mllvm -runtime-counter-relocation"
    )
    target_link_options(lucid_counted INTERFACE -fprofile-instr-generate)
endif()

add_library(lucid_library_flags INTERFACE)
target_link_libraries(lucid_library_flags INTERFACE lucid_flags lucid_counted)
target_compile_options(lucid_library_flags INTERFACE
    -fvisibility=hidden
    -fPIC
    -fno-plt
    -fno-semantic-interposition
    -ffunction-sections
    -fdata-sections
    # The thread pointer is reached with one instruction, without a call into the loader.
    -ftls-model=initial-exec
    # Otherwise the compiler may turn the body of our calloc into a call of calloc.
    -fno-builtin-malloc
    -fno-builtin-calloc
    -fno-builtin-realloc
    -fno-builtin-free
    -fno-builtin-aligned_alloc
)
