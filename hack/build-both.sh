#!/usr/bin/env bash
# Builds what the control plane lacks and, at the same time, runs a command of cargo: the first run of
# a target takes minutes, and neither build keeps the machine busy all the time.
#
#   build-both.sh all|'TOOL...' cargo ARGUMENT...
#
# TOOL is one of tests/controlplane/build.sh. If one of both fails, the other is ended, and the exit
# code is that of the failure; Ctrl-C ends both.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly RUST_SECONDS=320 # processor time of cargo from nothing

# shellcheck source=tests/controlplane/duration.sh
. tests/controlplane/duration.sh

say() { printf '%s\n' "$*" >&2; }

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
trap 'clear_line; say "interrupted: both builds end; what was compiled stays cached"; exit 130' INT
trap 'exit 143' TERM HUP

terminal=
if [ -t 2 ]; then terminal=1; fi
clear_line() { [ -z "$terminal" ] || printf '\r\033[K' >&2; }

plan=$(controlplane --plan 2>"$work/plan") || {
    status=$?
    cat "$work/plan" >&2
    exit "$status"
}

# What is going to be built, and how long that takes.
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
    say "first run: $what"
    say "from nothing this takes $(on_this_machine "$seconds"); what was compiled before is not compiled again"
fi

if [ ${#missing[@]} = 0 ]; then
    controlplane
    "$@"
    exit
fi

# Process groups of their own, so that each is ended as a whole.
set -m
REPORT_EVERY=1 controlplane >"$work/go" 2>&1 </dev/null &
go=$!
CARGO_TERM_PROGRESS_WHEN=never "$@" >"$work/cargo.out" 2>"$work/cargo" </dev/null &
cargo=$!
set +m

readonly PROGRESS=' \(packages compiled\|modules downloaded\), [0-9]* s$'
# What there is to read, without the progress.
go_said() { grep -v "$PROGRESS" "$work/go" >&2 || :; }
cargo_said() {
    cat "$work/cargo.out"
    grep -v '^ *\(Updating\|Locking\|Downloading\|Downloaded\|Compiling\|Blocking\|Executable\) ' "$work/cargo" >&2 || :
}
progress() {
    local line
    line="Go: $(tail -n 1 "$work/go" 2>/dev/null | sed 's/, [0-9]* s$//')"
    line="${go:+$line}${go:+${cargo:+ | }}${cargo:+Rust: $(grep -c '^ *Compiling ' "$work/cargo" || :) crates compiled}"
    printf '%s | %d s' "$line" "$SECONDS"
}
# over PROCESS: whether that build has ended.
over() { ! kill -0 "$1" 2>/dev/null; }
# failed STATUS PROCESS NAME: ends the other build, if it still runs.
failed() {
    [ -z "$2" ] || say "the build by $3 is ended too; what it compiled stays cached"
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
        go_said
        [ "$status" = 0 ] || failed "$status" "$cargo" cargo
    fi
    if [ -n "$cargo" ] && over "$cargo"; then
        status=0
        wait "$cargo" || status=$?
        cargo=
        clear_line
        cargo_said
        [ "$status" = 0 ] || failed "$status" "$go" Go
    fi
    [ -n "$go$cargo" ] || break
    if [ -n "$terminal" ]; then
        printf '\r\033[K%s' "$(progress)" >&2
    elif [ $((SECONDS - reported)) -ge 30 ]; then
        say "$(progress)"
        reported=$SECONDS
    fi
    sleep 0.5
done
