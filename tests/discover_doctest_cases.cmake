# longrope_discover_doctest_cases(<target> <prefix> [<label>]): a CTest test per doctest case, "<prefix>: <case>".
# One that says "skipped: REASON" where a label is given is reported as skipped.
# doctest's own module keeps the names in CMake lists, which a name with ';' or '[' takes apart; the
# parts match no case, and doctest passes when nothing matches.
#
# As a script, after each build of the program: cmake -DPROGRAM=... -DPREFIX=... -DOUTPUT=... [-DLABEL=...] -P <this file>
if(NOT CMAKE_SCRIPT_MODE_FILE)
    function(longrope_discover_doctest_cases target prefix)
        set(cases ${CMAKE_CURRENT_BINARY_DIR}/${target}_cases.cmake)
        add_custom_command(TARGET ${target} POST_BUILD
            COMMAND ${CMAKE_COMMAND} -DPROGRAM=$<TARGET_FILE:${target}> -DPREFIX=${prefix}
                    -DOUTPUT=${cases} -DLABEL=${ARGV2} -P ${CMAKE_CURRENT_FUNCTION_LIST_FILE}
            BYPRODUCTS ${cases}
            VERBATIM)
        set(if_built ${CMAKE_CURRENT_BINARY_DIR}/${target}_if_built.cmake)
        file(WRITE ${if_built} "if(EXISTS [==[${cases}]==])\n  include([==[${cases}]==])\n"
                               "else()\n  add_test(${target}_NOT_BUILT ${target}_NOT_BUILT)\nendif()\n")
        set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${if_built})
    endfunction()
    return()
endif()

execute_process(COMMAND ${PROGRAM} --list-test-cases --no-colors
                OUTPUT_VARIABLE listed COMMAND_ERROR_IS_FATAL ANY)
set(script "")
while(listed MATCHES "\n")
    string(FIND "${listed}" "\n" end)
    string(SUBSTRING "${listed}" 0 ${end} case)
    math(EXPR next "${end} + 1")
    string(SUBSTRING "${listed}" ${next} -1 listed)
    if(case MATCHES "^(====|\\[doctest\\] |$)")
        continue()
    endif()
    string(REPLACE "," "\\," pattern "${case}")  # a comma separates patterns
    string(APPEND script
        "add_test([==[${PREFIX}: ${case}]==] [==[${PROGRAM}]==] [==[--test-case=${pattern}]==])\n"
        "set_tests_properties([==[${PREFIX}: ${case}]==] PROPERTIES\n"
        "    FAIL_REGULAR_EXPRESSION [==[test cases: +0 ]==])\n")
    if(LABEL)
        string(APPEND script
            "set_tests_properties([==[${PREFIX}: ${case}]==] PROPERTIES LABELS ${LABEL}\n"
            "    SKIP_REGULAR_EXPRESSION [==[MESSAGE: skipped: ]==])\n")
    endif()
endwhile()
if(script STREQUAL "")
    message(FATAL_ERROR "${PROGRAM} lists no test cases")
endif()
file(WRITE ${OUTPUT} "${script}")
