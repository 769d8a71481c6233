#!/usr/bin/env bash
# Writes what the benchmarks measured last into docs/performance.md, and the most telling lines of it into README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly reports=${CARGO_TARGET_DIR:-target}
# The lines of README.md, by what each begins with.
readonly telling=(
    'From create to Active, one key at a time'
    'Keys made Active, 16 creators, default hashing cost'
    'Tokens, ES256'
    'From deleting a key to its first refusal, 2 replicas'
    'Memory of the controller, 1000 keys: right after issuing / at rest'
)

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

# The table of these rows, and the machine.
table() { # ROWS
    echo '| Measured | Result | Compared with | Aim |'
    echo '| --- | --- | --- | --- |'
    printf '%s\n\n' "$1"
    # The benchmarks follow each other: the machine and versions of the first are those of all.
    sed -n 's/^\(Machine: .*; Kubernetes [^ ]*\) .*/\1/p' "$reports/bench/lifecycle.md"
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
rows=$(cat "$reports"/{bench/lifecycle,bench/token,scale/report}.headlines.md)
few=
for line in "${telling[@]}"; do
    row=$(awk -v row="| $line |" 'index($0, row) == 1' <<<"$rows")
    [ -n "$row" ] || {
        echo "the benchmarks have no row for README.md that begins with: $line" >&2
        exit 1
    }
    few+=${few:+$'\n'}$row
done
table "$rows" | splice docs/performance.md numbers
table "$few" | splice README.md numbers
echo "README.md and docs/performance.md have the numbers of the last run"
