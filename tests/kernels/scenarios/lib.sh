# shellcheck shell=dash
# For scenario scripts: each checks a thing or two and tells it as libtest would. Source it first,
# call `finish` last. A scenario's first lines may hold '# cmdline: WORDS': it then gets a boot of
# its own with these words on the kernel's command line.

passed=0 failed=0 skipped=0 status=0

ok() { passed=$((passed + 1)); echo "test $1 ... ok"; }
ignored() { skipped=$((skipped + 1)); echo "test $1 ... ignored, $2"; }

not_ok() { # NAME WHY
    failed=$((failed + 1))
    echo "test $1 ... FAILED"
    echo "---- $1 stdout ----"
    echo "panicked at $1: $2; status $status"
    head -n 20 /run/stderr | sed 's/^/stderr: /'
    head -n 20 /run/stdout | sed 's/^/stdout: /'
    echo 'failures:'
}

run() {
    timeout -k 2 60 "$@" >/run/stdout 2>/run/stderr </dev/null
    status=$?
}

# refused NAME LINE COMMAND…: exit 1, nothing on stdout, and on stderr this line alone, word for word.
refused() {
    name=$1 wanted="execlat: $2"
    shift 2
    run "$@"
    if [ "$status" -ne 1 ]; then
        not_ok "$name" "exit status 1 was expected"
    elif [ -s /run/stdout ]; then
        not_ok "$name" "nothing on stdout was expected"
    elif [ "$(cat /run/stderr)" != "$wanted" ]; then
        not_ok "$name" "stderr is not: $wanted"
    else
        ok "$name"
    fi
}

# works NAME REGEX COMMAND…: exit 0, and stdout matches.
works() {
    name=$1 regex=$2
    shift 2
    run "$@"
    if [ "$status" -ne 0 ]; then
        not_ok "$name" "exit status 0 was expected"
    elif ! grep -Eq "$regex" /run/stdout; then
        not_ok "$name" "stdout does not match $regex"
    else
        ok "$name"
    fi
}

finish() {
    word=ok
    [ "$failed" -eq 0 ] || word=FAILED
    echo "test result: $word. $passed passed; $failed failed; $skipped ignored; 0 measured; 0 filtered out"
    [ "$failed" -eq 0 ]
}
