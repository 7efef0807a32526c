# Programs made of the allocator's objects without the libc names: they see its tables, and run
# under the sanitizers, whose own malloc stays in place.
include_guard(GLOBAL)

add_library(lucid_invariants OBJECT ${CMAKE_CURRENT_LIST_DIR}/invariants.c)
target_include_directories(lucid_invariants PUBLIC ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(lucid_invariants PUBLIC lucid_flags)
target_compile_definitions(lucid_invariants PUBLIC LUCID_OVERRIDE=0)

function(lucid_inside_program name)
    add_executable(${name} ${ARGN} $<TARGET_OBJECTS:lucid_invariants>)
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/stress)
    target_link_libraries(${name} PRIVATE lucid_core lucid_flags -pthread)
endfunction()

# A program whose malloc is lucid's because it is linked with liblucid.so.
function(lucid_linked_program name)
    add_executable(${name} ${ARGN})
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/stress)
    target_link_libraries(${name} PRIVATE lucid_shared lucid_flags -pthread)
    # The compiler must not reason about the very calls under test.
    target_compile_options(${name} PRIVATE -fno-builtin)
    set_target_properties(${name} PROPERTIES LINK_OPTIONS -Wl,--no-as-needed)
endfunction()
