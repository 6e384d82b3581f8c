# longrope::sanitizers: compile and link options of LONGROPE_SANITIZE, empty without it.
add_library(longrope_sanitizers INTERFACE)
add_library(longrope::sanitizers ALIAS longrope_sanitizers)
if(LONGROPE_SANITIZE)
    target_compile_options(longrope_sanitizers INTERFACE
        -fsanitize=${LONGROPE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(longrope_sanitizers INTERFACE -fsanitize=${LONGROPE_SANITIZE})
endif()
