# shellcheck shell=bash
# Functions that several scripts share.

# need_all TARGET LACKING [--if-installed]: ends the script if LACKING has lines. Each line names a missing program.
# The exit code is 0 with --if-installed, and 2 otherwise.
need_all() {
    [ -n "$2" ] || return 0
    if [ "${3:-}" = --if-installed ]; then
        printf 'LEFT OUT: %s, because this machine lacks\n%s\n' "$1" "$2"
        exit 0
    fi
    printf 'missing: %s\n' "${2//$'\n'/$'\nmissing: '}" >&2
    exit 2
}

# A free port below the range from which the system chooses.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# show_ends LINES FILE...: prints the ends of nonempty logs to standard error.
show_ends() {
    local lines=$1 file
    shift
    for file in "$@"; do
        [ -s "$file" ] || continue
        printf '\nthe end of %s:\n' "${file##*/}" >&2
        tail -n "$lines" "$file" >&2
    done
}

# The pids of started processes.
running=()
# Ends these processes.
stop() {
    local pid
    for pid in "${running[@]}"; do
        kill "$pid" 2>/dev/null || :
        wait "$pid" || :
    done
    running=()
}
