# shellcheck shell=bash
# What several scripts here do.

# need_all TARGET LACKING [--if-installed]: ends the script if something is lacking, each on a line; well
# with --if-installed, and badly without.
need_all() {
    [ -n "$2" ] || return 0
    if [ "${3:-}" = --if-installed ]; then
        printf 'LEFT OUT: %s, because this machine lacks\n%s\n' "$1" "$2"
        exit 0
    fi
    printf 'missing: %s\n' "${2//$'\n'/$'\nmissing: '}" >&2
    exit 2
}

# A port that nobody listens on, below those that the system chooses.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# show_ends LINES FILE...: the ends of logs that have any, on standard error.
show_ends() {
    local lines=$1 file
    shift
    for file in "$@"; do
        [ -s "$file" ] || continue
        printf '\nthe end of %s:\n' "${file##*/}" >&2
        tail -n "$lines" "$file" >&2
    done
}

# Processes that were started, by pid.
running=()
# Ends them.
stop() {
    local pid
    for pid in "${running[@]}"; do
        kill "$pid" 2>/dev/null || :
        wait "$pid" || :
    done
    running=()
}
