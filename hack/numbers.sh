#!/usr/bin/env bash
# Writes what the benchmarks measured last into README.md, and all of it into docs/performance.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly reports=${CARGO_TARGET_DIR:-target}

# Replaces what is between the marks of NAME in FILE by standard input.
splice() { # FILE NAME
    local begin="<!-- begin: $2 -->" end="<!-- end: $2 -->"
    if ! grep -qxF "$begin" "$1" || ! grep -qxF "$end" "$1"; then
        echo "$1 lacks the lines $begin and $end" >&2
        exit 1
    fi
    awk -v begin="$begin" -v end="$end" '
        NR == FNR { new = new $0 "\n"; next }
        $0 == end { between = 0 }
        !between { print }
        $0 == begin { between = 1; printf "%s", new }
    ' - "$1" >"$1.new"
    mv "$1.new" "$1"
}

for report in bench/lifecycle bench/token scale/report; do
    [ -e "$reports/$report.md" ] || {
        echo "$reports/$report.md is missing: run make bench" >&2
        exit 1
    }
    if grep -q '^A quick run' "$reports/$report.md"; then
        echo "$reports/$report.md is of a quick run: run make bench" >&2
        exit 1
    fi
    splice docs/performance.md "${report%/report}" <"$reports/$report.md"
done
{
    echo '| Measured | Result | Compared with | Aim |'
    echo '| --- | --- | --- | --- |'
    cat "$reports"/{bench/lifecycle,bench/token,scale/report}.headlines.md
    echo
    # The benchmarks follow each other: the machine and versions of the first are those of all.
    sed -n 's/^\(Machine: .*; Kubernetes [^ ]*\) .*/\1/p' "$reports/bench/lifecycle.md"
} | splice README.md numbers
echo "README.md and docs/performance.md have the numbers of the last run"
