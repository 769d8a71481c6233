#!/usr/bin/env bash
# Builds the missing tools of the control plane and runs a cargo command at the same time. The first run of a
# target takes minutes, and neither build uses the whole machine all the time.
#
#   build-both.sh all|'TOOL...' cargo ARGUMENT...
#
# TOOL is a tool of tests/controlplane/build.sh. If one build fails, this script ends the other and exits with the
# code of the failure. Ctrl-C ends both.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly RUST_SECONDS=320 # processor time of cargo with empty caches

# shellcheck source=tests/controlplane/duration.sh
. tests/controlplane/duration.sh

message() { printf '%s\n' "$*" >&2; }

tools=()
if [ "$1" != all ]; then read -r -a tools <<<"$1"; fi
shift
controlplane() { tests/controlplane/build.sh "$@" ${tools[@]+"${tools[@]}"}; }
target=${CARGO_TARGET_DIR:-target}

work=$(mktemp -d)
go='' cargo=''
tidy() {
    local status=$? group
    trap - EXIT
    trap '' INT TERM HUP
    for group in $go $cargo; do kill -TERM -- "-$group" 2>/dev/null || :; done
    for group in $go $cargo; do wait "$group" 2>/dev/null || :; done
    rm -rf "$work"
    exit "$status"
}
trap tidy EXIT
trap 'clear_line; message "interrupted: both builds end; compiled packages stay cached"; exit 130' INT
trap 'exit 143' TERM HUP

terminal=
if [ -t 2 ]; then terminal=1; fi
clear_line() { [ -z "$terminal" ] || printf '\r\033[K' >&2; }

plan=$(controlplane --plan 2>"$work/plan") || {
    status=$?
    cat "$work/plan" >&2
    exit "$status"
}

# The tools to build, and the expected time.
missing=() what='' seconds=0
while read -r tool how _; do
    if [ "$how" = build ]; then missing+=("$tool"); fi
done <<<"$plan"
if [ ${#missing[@]} -gt 0 ]; then
    what="Go builds ${missing[*]}"
    seconds=$(go_seconds "${missing[@]}")
fi
if [ ! -d "$target/debug/.fingerprint" ]; then
    what="$what${what:+; }cargo builds the operator"
    seconds=$((seconds + RUST_SECONDS))
fi
if [ -n "$what" ]; then
    message "first run: $what"
    message "with empty caches this takes $(on_this_machine "$seconds"); compiled packages are reused"
fi

if [ ${#missing[@]} = 0 ]; then
    controlplane
    "$@"
    exit
fi

# Each build has its own process group, so that all of its processes can be ended.
set -m
REPORT_EVERY=1 controlplane >"$work/go" 2>&1 </dev/null &
go=$!
CARGO_TERM_PROGRESS_WHEN=never "$@" >"$work/cargo.out" 2>"$work/cargo" </dev/null &
cargo=$!
set +m

readonly PROGRESS=' \(packages compiled\|modules downloaded\), [0-9]* s$'
# Print the output of the builds without the progress.
print_go_output() { grep -v "$PROGRESS" "$work/go" >&2 || :; }
print_cargo_output() {
    cat "$work/cargo.out"
    grep -v '^ *\(Updating\|Locking\|Downloading\|Downloaded\|Compiling\|Blocking\|Executable\) ' "$work/cargo" >&2 || :
}
progress() {
    local line
    line="Go: $(tail -n 1 "$work/go" 2>/dev/null | sed 's/, [0-9]* s$//')"
    line="${go:+$line}${go:+${cargo:+ | }}${cargo:+Rust: $(grep -c '^ *Compiling ' "$work/cargo" || :) crates compiled}"
    printf '%s | %d s' "$line" "$SECONDS"
}
# over PROCESS: succeeds if that build has ended.
over() { ! kill -0 "$1" 2>/dev/null; }
# failed STATUS PROCESS NAME: ends the other build, if it still runs.
failed() {
    [ -z "$2" ] || message "the build by $3 ends too; compiled packages stay cached"
    exit "$1"
}

SECONDS=0
reported=0
while [ -n "$go$cargo" ]; do
    if [ -n "$go" ] && over "$go"; then
        status=0
        wait "$go" || status=$?
        go=
        clear_line
        print_go_output
        [ "$status" = 0 ] || failed "$status" "$cargo" cargo
    fi
    if [ -n "$cargo" ] && over "$cargo"; then
        status=0
        wait "$cargo" || status=$?
        cargo=
        clear_line
        print_cargo_output
        [ "$status" = 0 ] || failed "$status" "$go" Go
    fi
    [ -n "$go$cargo" ] || break
    if [ -n "$terminal" ]; then
        printf '\r\033[K%s' "$(progress)" >&2
    elif [ $((SECONDS - reported)) -ge 30 ]; then
        message "$(progress)"
        reported=$SECONDS
    fi
    sleep 0.5
done
