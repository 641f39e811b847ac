# shellcheck shell=bash
# For scripts that run C tests of another architecture; sourced. They have set passed=0 and failed=0.

# run_emulated NAME COMMAND...: run a test program, say what it counted, and add that.
run_emulated() {
    local name=$1 output code counts bad
    shift
    output=$(timeout --kill-after=10 300 "$@" </dev/null 2>&1)
    code=$?
    counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' <<<"$output" | tail -n 1)
    printf '%-28s %s\n' "$name" "${counts:-no result}"
    [[ $counts =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]] && passed=$((passed + BASH_REMATCH[1]))
    if [ "$code" != 0 ] || [ -z "$counts" ]; then
        grep -v '^ok' <<<"$output"
        bad=${BASH_REMATCH[2]:-0}
        failed=$((failed + (bad > 0 ? bad : 1)))
    fi
}
