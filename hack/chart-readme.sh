#!/usr/bin/env bash
# Writes the table of values in the README of the chart from values.yaml and its comments.
#
#   chart-readme.sh          into charts/apikey-operator/README.md
#   chart-readme.sh --check  says whether it is up to date
#   chart-readme.sh --keys   prints the name of each value
#
# It takes what values.yaml is made of: a key on a line, indented by two spaces, with its value on
# the same line and its comment right above.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../charts/apikey-operator"

table() {
    awk -v keys="${1:-}" '
        /^ *#/ { sub(/^ *# ?/, ""); comment = comment (comment == "" ? "" : " ") $0; next }
        /^ *$/ { comment = ""; next }
        {
            match($0, /^ */)
            depth = RLENGTH / 2
            key = substr($0, RLENGTH + 1)
            value = key
            sub(/:.*/, "", key)
            sub(/^[^:]*: */, "", value)
            if (value ~ /:$/ && value == key ":") value = ""
            path[depth] = key
            name = path[0]
            for (i = 1; i <= depth; i++) name = name "." path[i]
            if (value != "") {
                if (keys) print name
                else {
                    if (comment == "") { print "values.yaml: " name " has no comment" >"/dev/stderr"; bad = 1 }
                    gsub(/\|/, "\\|", comment)
                    printf "| `%s` | `%s` | %s |\n", name, value, comment
                }
            }
            comment = ""
        }
        END { exit bad }
    ' values.yaml
}

readme() {
    sed '/<!-- values -->/q' README.md
    printf '\n| Value | Default | What |\n| --- | --- | --- |\n'
    table
    printf '\n'
    sed -n '/<!-- end of values -->/,$p' README.md
}

case "${1:-}" in
'')
    fresh=$(readme)
    printf '%s\n' "$fresh" >README.md
    ;;
--check)
    diff -u README.md <(readme) || {
        echo "charts/apikey-operator/README.md is stale: run make chart-readme" >&2
        exit 1
    }
    ;;
--keys) table keys ;;
*)
    echo "usage: chart-readme.sh [--check|--keys]" >&2
    exit 2
    ;;
esac
