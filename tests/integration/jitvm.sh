# SPDX-License-Identifier: Apache-2.0
# The program jitvm: what it prints, how it ends. No guest runs in any of these.

# jitvm ARGS...: like run_thaw, of lib.sh.
jitvm() {
    local input=/dev/null
    [ -e "$work/in" ] && input=$work/in
    status=0
    timeout -k 5 60 "$build/jitvm" "$@" <"$input" >"$work/out" 2>"$work/err" || status=$?
}

# program TEXT: $work/p.jv
program() {
    printf '%s\n' "$1" >"$work/p.jv"
}

# One line `jitvm: ...` first on stderr, with this status and the name at its end.
expect_error() {
    expect_status "$1"
    head -n 1 "$work/err" | grep -q "^jitvm: .*\[$2\]$" || fail "the first line is not [$2]"
    [ "$(grep -c '^jitvm: ' "$work/err")" -eq 1 ] || fail "stderr does not have one jitvm: line"
}

# Wrong usage: one line that says where the help is, and nothing on stdout.
usage_error() {
    jitvm "$@"
    expect_status 2
    grep -q '^jitvm: .*(see jitvm .*--help)$' "$work/err" || fail "no usage line for: $*"
    [ "$(wc -l <"$work/err")" -eq 1 ] || fail "more than a line for: $*"
    [ ! -s "$work/out" ] || fail "stdout is not empty for: $*"
}

fib='fn fib(n) { if (n < 2) { return n; } return fib(n - 1) + fib(n - 2); }'

# ---- run ----------------------------------------------------------------------------------------

test_jitvm_runs_a_program_and_its_result_is_not_the_status() {
    program "$fib"' say("fib ", fib(20)); return 7;'
    jitvm run p.jv
    expect_status 0
    expect_out "fib 6765"
    [ ! -s "$work/err" ] || fail "stderr is not empty"
}

test_jitvm_prints_the_result_on_request() {
    program 'return [1, 2.5, "a\n", {"k": undef}];'
    jitvm run --print p.jv
    expect_status 0
    expect_out '[1, 2.5, "a\n", {"k": undef}]'
}

test_jitvm_gives_the_same_in_every_tier() {
    local tier
    program "$fib"' let h = {}; for i in 0..50 { h[i % 7] = fib(i % 12) ~ "x"; }
        say(join(values(h), ","), " ", fib(15) / 7);'
    jitvm run --jit=off p.jv
    expect_status 0
    cp "$work/out" "$work/wanted"
    for tier in linear block; do
        jitvm run "--jit=$tier" p.jv
        expect_status 0
        cmp "$work/out" "$work/wanted" || fail "$tier"
    done
}

test_jitvm_reads_a_program_from_stdin() {
    echo 'say(6 * 7);' >"$work/in"
    jitvm run -
    expect_status 0
    expect_out 42
    echo 'say(6 * ;' >"$work/in"
    jitvm run -
    expect_error 74 syntax
    expect_err_has "jitvm: stdin:1:"
}

test_jitvm_arguments_after_two_dashes_are_the_programs() {
    program 'for a in args() { say("<", a, ">"); }'
    jitvm run p.jv -- --fuel "" "a b" -- x
    expect_status 0
    expect_out "$(printf '<--fuel>\n<>\n<a b>\n<-->\n<x>')"
}

test_jitvm_reads_lines_and_writes_what_it_read() {
    printf 'one\n\ntwo' >"$work/in"
    program 'let n = 0; let line = readline();
        while (type(line) ne "undef") { n += 1; say(n, ":", line); line = readline(); }'
    jitvm run p.jv
    expect_status 0
    expect_out "$(printf '1:one\n2:\n3:two')"
}

# ---- errors ---------------------------------------------------------------------------------

test_jitvm_says_where_a_text_is_wrong() {
    program "$(printf 'let a = 1;\nlet b = ;')"
    jitvm run p.jv
    expect_error 74 syntax
    grep -q '^jitvm: p.jv:2:9: ' "$work/err" || fail "file, line and column"
    ! grep -q 'line 2' "$work/err" || fail "the place is said twice"
}

test_jitvm_shows_the_calls_under_way_at_an_error() {
    program "$(printf 'fn inner(x) {\n  error("it is " ~ x);\n}\nfn outer(x) { inner(x + 1); }\nprint("before");\nouter(3);')"
    jitvm run p.jv
    expect_error 73 host
    expect_out before
    [ "$(cat "$work/err")" = "$(printf 'jitvm: p.jv:2: it is 4 [host]\n  in inner, p.jv:2\n  in outer, p.jv:4\n  in main, p.jv:6')" ] ||
        fail "the backtrace"
}

test_jitvm_what_a_program_says_stays_on_its_line() {
    program 'error("a\nb\e[31m\x7f")'
    jitvm run p.jv
    expect_error 73 host
    expect_err_has 'jitvm: p.jv:1: a\x0ab\x1b[31m\x7f [host]'
    [ "$(wc -l <"$work/err")" -eq 2 ] || fail "more than the error and the one call under way"
}

test_jitvm_errors_have_statuses_of_their_own() {
    program 'sort(7);'
    jitvm run p.jv
    expect_error 64 type
    program 'let f = fn(x) { return x; }; f(1, 2);'
    jitvm run p.jv
    expect_error 65 arity
    program 'chr(1000);'
    jitvm run p.jv
    expect_error 67 value
    program 'while (true) { }'
    jitvm run --fuel 1000 p.jv
    expect_error 69 fuel
    program 'let s = "x"; while (true) { s = s ~ s; }'
    jitvm run --heap 1M p.jv
    expect_error 70 heap
    program 'repeat("x", 1 << 60);'
    jitvm run p.jv
    expect_error 70 heap
    program 'fn f(n) { return f(n + 1) + 1; } f(0);'
    jitvm run --depth 100 p.jv
    expect_error 71 depth
    jitvm run nosuch.jv
    expect_status 77
    expect_err_has "jitvm: nosuch.jv: No such file or directory"
}

test_jitvm_survives_the_deepest_recursion() {
    local tier
    program 'fn f(n) { return f(n + 1) + 1; } f(0);'
    for tier in off block; do
        jitvm run "--jit=$tier" --depth 1000000 p.jv
        expect_error 71 depth
    done
    program 'fn f(a, b) { return sort([1, 2], f); } f(1, 2);'
    for tier in off block; do
        jitvm run "--jit=$tier" --depth 1000000 p.jv
        expect_error 71 depth
    done
}

test_jitvm_output_that_fails_is_an_error() {
    program 'say("lost");'
    status=0
    "$build/jitvm" run p.jv >/dev/full 2>"$work/err" || status=$?
    expect_error 77 io
    status=0
    "$build/jitvm" --help >/dev/full 2>"$work/err" || status=$?
    expect_status 77
}

# interrupted TEXT [STDIN]: one signal, once the program has begun. Also where this runs in the
# background, with the signal ignored.
interrupted() {
    status=0
    program "eprint(\"begun\\n\"); $1"
    env --default-signal=INT timeout --foreground -k 5 60 "$build/jitvm" run p.jv \
        <"${2:-/dev/null}" >"$work/out" 2>"$work/err" &
    wait_for "$work/err" begun
    sleep 0.1
    kill -INT $!
    wait $! || status=$?
    sed -i 1d "$work/err"
    expect_error 72 interrupted
}

test_jitvm_is_interrupted_wherever_it_is() {
    interrupted 'while (true) { }'
    interrupted 'sleep(10);'
    mkfifo "$work/fifo"
    exec 3<>"$work/fifo"
    interrupted 'readline();' "$work/fifo"
    exec 3>&-
}

test_jitvm_usage_errors_are_one_line() {
    usage_error frobnicate
    usage_error run
    usage_error run p.txt
    usage_error run p.jv surplus
    usage_error run --frobnicate p.jv
    usage_error run --as pdf p.jv
    usage_error run --jit on p.jv
    usage_error run --fuel p.jv
    usage_error run --fuel -1 p.jv
    usage_error run --fuel 99999999999999999999 p.jv
    usage_error run --heap 1T p.jv
    usage_error run --heap 99999999999G p.jv
    usage_error run --heap "" p.jv
    usage_error run --depth 0 p.jv
    usage_error run --depth 1000001 p.jv
    usage_error run --dump code,all p.jv
    usage_error compile -
    usage_error bench --n 0 p.jv
    usage_error bench --jit off p.jv
    usage_error disasm
    usage_error verify --json p.jv
    "$build/jitvm" 2>"$work/err" && fail "no verb is no error"
    grep -q 'see jitvm --help' "$work/err" || fail "no verb"
}

test_jitvm_has_help_for_every_verb_and_a_version() {
    local verb
    jitvm --help
    expect_status 0
    expect_out_has "Usage: jitvm VERB"
    for verb in run compile asm disasm verify stats bench; do
        jitvm "$verb" --help
        expect_status 0
        expect_out_has "Usage: jitvm $verb"
    done
    jitvm --version
    expect_status 0
    grep -qx 'jitvm [0-9.]*' "$work/out" || fail "the version"
}

test_jitvm_a_threshold_that_is_no_number_is_an_error() {
    program 'say(1);'
    JITVM_BLOCK_THRESHOLD=many jitvm run p.jv
    expect_status 67
    expect_err_has JITVM_BLOCK_THRESHOLD
}

# ---- chunks -----------------------------------------------------------------------------------

test_jitvm_a_compiled_program_is_the_same_program() {
    program "$fib"' say(fib(args()[0]));'
    jitvm compile p.jv
    expect_status 0
    [ "$(ls)" = "$(printf 'err\nout\np.jv\np.jvc')" ] || fail "the files"
    jitvm run p.jvc -- 10
    expect_out 55
    jitvm compile -o again.jvc p.jv
    cmp p.jvc again.jvc || fail "the same program gave other bytes"
    local identity
    jitvm verify p.jvc
    grep -qx 'p.jvc: ok [0-9a-f]\{32\}' "$work/out" || fail "verify"
    identity=$(cut -d ' ' -f 3 "$work/out")
    jitvm verify p.jv
    expect_out "p.jv: ok $identity"
}

test_jitvm_assembling_what_was_disassembled_gives_the_same_chunk() {
    program "$fib"' let a = [1]; a[2]["x"] = fib(3); say(a, 1.5, "a\x00\"b");'
    jitvm compile p.jv
    jitvm disasm p.jv
    expect_status 0
    cp "$work/out" p.jasm
    jitvm asm -o q.jvc p.jasm
    expect_status 0
    cmp p.jvc q.jvc || fail "another chunk"
    cp p.jasm "$work/in"
    jitvm asm -o - -
    expect_status 0
    cmp "$work/out" q.jvc || fail "another chunk on stdout"
}

test_jitvm_a_damaged_chunk_is_refused() {
    program "$fib"
    jitvm compile p.jv
    printf '\377' | dd of=p.jvc bs=1 seek=40 conv=notrunc status=none
    jitvm verify p.jvc
    expect_error 75 invalid
    jitvm run p.jvc
    expect_error 75 invalid
    head -c 30 p.jvc >short.jvc
    jitvm verify short.jvc
    expect_error 75 invalid
    : >empty.jvc
    jitvm verify empty.jvc
    expect_error 75 invalid
}

test_jitvm_an_output_file_appears_whole_or_not_at_all() {
    program 'say(1);'
    echo old >p.jvc
    (
        ulimit -f 0
        trap '' XFSZ
        jitvm compile p.jv
        [ "$status" -ne 0 ]
    ) || fail "a file that cannot be written is no error"
    [ "$(cat p.jvc)" = old ] || fail "the old file is gone"
    jitvm compile -o nowhere/p.jvc p.jv
    expect_status 77
    expect_err_has "nowhere/p.jvc"
    jitvm compile -o /dev/null p.jv
    expect_status 0
    [ -c /dev/null ] || fail "/dev/null is no device any more"
    ! ls p.jvc.* 2>/dev/null || fail "a temporary file is left"
}

test_jitvm_dumps_go_to_stderr() {
    program "$fib"' say(fib(15));'
    jitvm run --dump=code,ir,asm p.jv
    expect_status 0
    expect_out 610
    expect_err_has "fib"
    [ "$(wc -l <"$work/err")" -gt 10 ] || fail "no dump"
    jitvm run --jit=off --dump=code p.jv
    expect_out 610
    expect_err_has "fib"
}

test_jitvm_names_compiled_functions_for_perf() {
    program "$fib"' say(fib(15)); eprint(readall());'
    mkfifo "$work/fifo"
    "$build/jitvm" run --perf-map --gdb p.jv <"$work/fifo" >"$work/out" 2>"$work/err" &
    local map=/tmp/perf-$!.map
    exec 3>"$work/fifo"
    wait_for "$map" fib
    exec 3>&-
    wait $! || fail "the run"
    expect_out 610
    grep -q '^[0-9a-f]* [0-9a-f]* .*fib' "$map" || fail "the map"
    rm -f "$map"
}

# ---- figures ----------------------------------------------------------------------------------

test_jitvm_stats_are_alone_on_stdout() {
    program "$fib"' say(fib(15));'
    jitvm stats --json p.jv
    expect_status 0
    jq -e '.program == "p.jv" and .functions == 2 and .ops > 10 and .run_ns > 0' "$work/out" ||
        fail "the object"
    [ "$(cat "$work/err")" = 610 ] || fail "what the program printed"
    jitvm stats --jit=off p.jv
    expect_status 0
    grep -q '^functions compiled, block  *0$' "$work/out" || fail "the table"
}

test_jitvm_stats_of_a_program_that_failed_are_there_too() {
    program 'while (true) { }'
    jitvm stats --fuel 100 --json p.jv
    expect_error 69 fuel
    jq -e '.functions == 1' "$work/out" || fail "the object"
}

test_jitvm_bench_times_run_in_every_tier() {
    program "$fib"' fn run(n) { print("thrown away"); return fib(n); }'
    jitvm bench --n 3 --json p.jv -- 12
    expect_status 0
    jq -e '.runs == 3 and .results_agree and ([.tiers[].tier] == ["off", "linear", "block"])
        and ([.tiers[].median_ns] | all(. > 0))' "$work/out" || fail "the object"
    usage_error bench p.jv
    jitvm bench --n 2 p.jv -- 12
    expect_status 0
    [ "$(wc -l <"$work/out")" -eq 4 ] || fail "the table"
}

test_jitvm_bench_times_the_top_level_of_other_programs() {
    program 'let a = []; for i in 0..1000 { push(a, rand()); } return sort(a);'
    jitvm bench --n 2 --json p.jv
    expect_status 0
    jq -e .results_agree "$work/out" || fail "the object"
    program 'return clock();'
    jitvm bench --n 2 p.jv
    expect_status 1
    expect_err_has "different results"
}
