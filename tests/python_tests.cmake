# longrope_add_python_tests(<room> FILES ... [ENVIRONMENT ...] [LABELS ...]): a CTest test per file,
# named "<room>: <file>". One whose Python packages are not installed is reported as skipped.
find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)  # starts .venv/bin/python, if there is one

function(longrope_add_python_tests room)
    cmake_parse_arguments(TESTS "" "" "FILES;ENVIRONMENT;LABELS" ${ARGN})
    set(patience 1800)  # seconds; the longest takes one to two minutes on two free cores
    if(LONGROPE_SANITIZE)
        set(patience 7200)
    endif()
    foreach(file IN LISTS TESTS_FILES)
        cmake_path(ABSOLUTE_PATH file)
        cmake_path(GET file STEM name)
        add_test(NAME "${room}: ${name}"
            COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tests/run_python_test.py ${file}
            WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
        set_tests_properties("${room}: ${name}" PROPERTIES
            SKIP_RETURN_CODE 77
            TIMEOUT ${patience}
            ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;${TESTS_ENVIRONMENT}"
            LABELS "${TESTS_LABELS}")
    endforeach()
endfunction()
