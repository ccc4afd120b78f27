# SPDX-License-Identifier: Apache-2.0
# scripts/bench-gate can fail: results and baselines made up for it, nothing is measured.

gate() {
    status=0
    "$build/../scripts/bench-gate" --baseline "$work/baseline.json" --history "$work/history.jsonl" \
        --results "$work/results.json" "$@" >"$work/out" 2>"$work/err" || status=$?
}

# results [FILTER]: of a host with three figures, changed by the jq filter.
results() {
    jq "${1:-.}" >"$work/results.json" <<'END'
{"date": "2026-01-02T03:04:05Z", "commit": "abcdef0 now", "tiers": {"pvm": "6.18", "rig": "6.1"},
 "figures": {"calls": {"pvm": {"value": 71, "low": 70, "high": 72}},
             "faults": {"pvm": {"value": 40, "low": 40, "high": 41}},
             "marks": {"rig": {"value": 7, "low": 7, "high": 7}}}}
END
}

# baseline [FILTER]: which those are no worse than.
baseline() {
    jq "${1:-.}" >"$work/baseline.json" <<'END'
{"figures": {
 "calls": {"part": "host", "unit": "calls", "better": "lower", "tolerance": {"percent": 5},
           "why": "system calls of a start", "value": {"pvm": {"value": 71, "kernel": "6.18"}}},
 "faults": {"part": "host", "unit": "faults", "better": "lower", "tolerance": {"absolute": 3},
            "why": "page faults of a start", "of_kernel": true,
            "value": {"pvm": {"value": 39, "kernel": "6.18"}}},
 "marks": {"part": "linux", "unit": "marks", "better": "higher", "tolerance": {"absolute": 0},
           "why": "marks of a boot", "value": {"rig": {"value": 7, "kernel": "6.1"}}}}}
END
    cat >"$work/history.jsonl" <<'END'
{"date":"2025-11-01T00:00:00Z","commit":"1111111 first","figures":{"calls":{"pvm":84}}}
{"date":"2025-12-01T00:00:00Z","commit":"2222222 second","figures":{"calls":{"pvm":71}}}
END
}

# That the verdict on one figure is this one, and on the others `ok`.
expect_verdict() {
    gate --json
    jq -e --arg figure "$1" --arg verdict "$2" \
        '.figures | length >= 3 and all(.[]; .verdict == (if .figure == $figure then $verdict else "ok" end))' \
        "$work/out" >/dev/null || fail "the verdicts are not: $1 $2"
}

test_figures_that_are_no_worse_pass() {
    baseline && results
    gate
    expect_status 0
    expect_out_has "3 figures are no worse than recorded"
    [ ! -s "$work/err" ] || fail "something was found"
    expect_verdict none ok
}

test_a_figure_that_is_worse_fails_with_its_history() {
    baseline && results '.figures.calls.pvm = {value: 92, low: 92, high: 93}'
    gate
    expect_status 1
    grep -qxF "bench-gate: calls: 92 calls, was 71 (+29.6 %, tolerance 5 %)" "$work/err" || fail "the line"
    expect_err_has "system calls of a start"
    expect_err_has "2025-11-01  84  1111111 first"
    expect_err_has "2025-12-01  71  2222222 second"
    expect_err_has "history: █▁"
    expect_verdict calls worse
    expect_status 1
    jq -e .failed "$work/out" >/dev/null || fail "not failed"
}

test_the_tolerance_is_the_last_value_that_passes() {
    baseline
    results '.figures.faults.pvm = {value: 42, low: 42, high: 42}'
    expect_verdict none ok
    expect_status 0
    results '.figures.faults.pvm = {value: 43, low: 43, high: 43}'
    expect_verdict faults worse
    expect_status 1
}

test_one_good_sample_keeps_noise_from_failing() {
    baseline && results '.figures.calls.pvm = {value: 92, low: 71, high: 300}'
    expect_verdict none ok
    expect_status 0
}

test_of_what_should_be_many_fewer_is_worse() {
    baseline && results '.figures.marks.rig = {value: 6, low: 6, high: 6}'
    expect_verdict marks worse
    expect_status 1
    results '.figures.marks.rig = {value: 8, low: 8, high: 8}'
    expect_verdict marks better
    expect_status 0
}

test_a_figure_that_is_missing_fails() {
    baseline && results 'del(.figures.marks)'
    gate
    expect_status 1
    expect_err_has "bench-gate: marks: not measured on rig"
    results 'del(.figures.calls)'
    gate
    expect_status 1
    expect_err_has "bench-gate: calls: not measured on pvm"
}

test_a_figure_that_is_better_is_told() {
    baseline && results '.figures.calls.pvm = {value: 60, low: 59, high: 61}'
    gate
    expect_status 0
    expect_err_has "bench-gate: calls: 60 calls, was 71 (-15.5 %): better; record it"
}

test_a_host_or_kernel_without_a_baseline_is_told_and_passes() {
    baseline 'del(.figures.calls.value.pvm)' && results
    gate
    expect_status 0
    expect_err_has "bench-gate: calls: NOT GATED: no baseline for pvm"
    baseline && results '.tiers.pvm = "7.0" | .figures.faults.pvm = {value: 99, low: 99, high: 99}'
    gate
    expect_status 0
    expect_err_has "bench-gate: faults: NOT GATED: recorded with Linux 6.18, not 7.0"
}

test_a_figure_that_the_baseline_does_not_know_is_told() {
    baseline && results '.figures.more = {pvm: {value: 1, low: 1, high: 1}}'
    gate
    expect_status 0
    expect_err_has "bench-gate: more: NOT GATED: not in the baseline"
}

test_a_broken_baseline_or_result_is_an_error_of_its_own() {
    baseline && results
    local broken
    for broken in '' '{' '[]' '{"figures": {}}' '{"figures": {"calls": {}}}' \
        '{"figures": {"calls": {"part": "host", "better": "lower", "tolerance": {}, "value": {"pvm": {"value": "71"}}}}}'; do
        printf '%s' "$broken" >"$work/baseline.json"
        gate
        expect_status 2
        expect_err_has "baseline.json: no baseline, or a broken one"
    done
    rm "$work/baseline.json"
    gate
    expect_status 2
    baseline
    for broken in '' '{' '{}' '{"figures": 3, "tiers": {}}'; do
        printf '%s' "$broken" >"$work/results.json"
        gate
        expect_status 2
        expect_err_has "no results of a gate"
    done
}

test_what_is_recorded_is_the_next_baseline() {
    baseline && results '.figures.calls.pvm = {value: 92, low: 91, high: 93}'
    gate --record
    expect_status 0
    expect_out_has "recorded: calls (pvm): 92, was 71"
    expect_verdict none ok
    jq -e '.figures.calls | .value.pvm.seen == [91, 93] and .tolerance.percent == 5' \
        "$work/baseline.json" >/dev/null || fail "the baseline"
    results '.figures.calls.pvm = {value: 99, low: 99, high: 99}'
    gate
    expect_status 1
    expect_err_has "92  abcdef0 now"
}

test_one_part_is_judged_without_the_other() {
    baseline && results 'del(.figures.marks)'
    gate host
    expect_status 0
    expect_out_has "2 figures are no worse than recorded"
    gate linux
    expect_status 1
}

# count_jitvm WHAT: of the jitvm in $of.
count_jitvm() {
    status=0
    BUILD=$of "$build/../scripts/bench-gate.d/jitvm" "$1" >"$work/out" 2>"$work/err" || status=$?
}

test_what_is_counted_of_jitvm_is_the_same_each_time_and_known_to_the_baseline() {
    local of=$build figure
    count_jitvm counts
    expect_status 0
    mv "$work/out" "$work/first"
    count_jitvm counts
    cmp "$work/first" "$work/out" || fail "the second time it is something else"
    [ "$(wc -l <"$work/out")" -eq 7 ] || fail "not seven figures"
    while read -r figure _; do
        jq -e --arg figure "$figure" '.figures[$figure].part == "host"' \
            "$build/../tests/bench/baseline.json" >/dev/null || fail "the baseline has no $figure"
    done <"$work/out"
}

test_a_jitvm_that_fails_gives_no_counts() {
    local of=$work
    printf '#!/bin/sh\nexit 3\n' >"$work/jitvm"
    chmod +x "$work/jitvm"
    count_jitvm counts
    expect_status 1
    expect_err_has "bench-gate: jitvm: fib.jv failed"
}

test_without_luajit_there_is_no_ratio_and_it_says_so() {
    local of=$build
    LUAJIT=$work/none count_jitvm ratio
    expect_status 1
    expect_err_has "no LuaJIT"
}

test_options_that_are_wrong_are_usage_errors() {
    baseline && results
    local wrong
    for wrong in --frobnicate cloud "--repeat 0" "--repeat x" --repeat --results; do
        # shellcheck disable=SC2086
        gate $wrong
        expect_status 2
        expect_err_has "usage: scripts/bench-gate"
    done
}
