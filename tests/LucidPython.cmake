# lucid_python_tests(FAMILY SCRIPT): every test_NAME method of the unittest SCRIPT becomes the ctest
# test FAMILY.NAME, so that each is counted, skipped and repeated on its own.
function(lucid_python_tests family script)
    set(path ${CMAKE_CURRENT_SOURCE_DIR}/${script})
    set(environment "LUCID_BUILD=${PROJECT_BINARY_DIR}" "LUCID_SOURCE=${PROJECT_SOURCE_DIR}"
        "PYTHONPATH=${PROJECT_SOURCE_DIR}/tests"
    )
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    file(STRINGS ${path} methods REGEX "^    def test_")
    foreach(method IN LISTS methods)
        string(REGEX REPLACE "^    def test_([a-z0-9_]+).*" "\\1" name ${method})
        add_test(NAME ${family}.${name} COMMAND ${Python3_EXECUTABLE} -B ${path} ${name})
        set_tests_properties(${family}.${name} PROPERTIES
            LABELS ${family}
            SKIP_RETURN_CODE 77
            TIMEOUT 120
            ENVIRONMENT "${environment}"
        )
    endforeach()
endfunction()
