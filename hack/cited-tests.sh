#!/usr/bin/env bash
# Every test that the documentation names as FILE::NAME (`tests/acceptance/delete.rs::...`) is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

count=0
missing=0
while IFS=: read -r document test; do
    file=${test%%::*} name=${test#*::}
    count=$((count + 1))
    if [ ! -f "$file" ] || ! grep -qE "^ *(pub )?(async )?fn $name\(" "$file"; then
        echo "$document names a test that is not there: $test" >&2
        missing=1
    fi
done < <(grep -oE '(tests|src|benches)/[a-z0-9_/]+\.rs::[a-z0-9_]+' README.md SECURITY.md docs/*.md | sort -u)
[ "$missing" -eq 0 ]
echo "the documentation names $count tests, and each is there"
