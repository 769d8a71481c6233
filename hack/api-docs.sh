#!/usr/bin/env bash
# Writes docs/api.md from crds/, the names and reasons of src/api, and examples/.
#
#   api-docs.sh          into docs/api.md
#   api-docs.sh --check  says whether it is up to date
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$(tests/controlplane/build.sh --print-dir):$PATH
command -v kubectl >/dev/null || {
    echo "kubectl is missing: make controlplane" >&2
    exit 2
}

# The definitions as JSON; kubectl asks no cluster.
definition() { kubectl label --local --filename "crds/$1.yaml" --output json generated=no; }

# The sections of a kind: a table for each object in it, and its rules below.
sections() {
    definition "$1" | jq -r '
        def cell: gsub("\n"; " ") | gsub("\\|"; "\\|");
        def code: "`" + gsub("\\|"; "\\|") + "`";
        # An object is described where it stands, once.
        def body: if .type == "array" then .items else . end;
        def is_object: body | has("properties");

        def kind_of:
            if .type == "array" then
                (if .items | has("properties") then "list of objects"
                 elif .items.type == "string" then "list of strings" else "list" end)
                + (if ."x-kubernetes-list-type" == "set" then ", each once"
                   elif ."x-kubernetes-list-type" == "map" then
                       ", one for each `" + (."x-kubernetes-list-map-keys" | join("`, `")) + "`"
                   else "" end)
            elif has("additionalProperties") then "map of strings"
            elif .format == "date-time" then "time, RFC 3339"
            else .type end;
        def number: if . == floor then floor else . end | tostring;
        def range($least; $most; $of):
            if $least != null and $most != null then ["\($least | number) to \($most | number)" + $of]
            elif $most != null then ["at most \($most | number)" + $of]
            elif $least != null then ["at least \($least | number)" + $of]
            else [] end;
        def bounds_of_text:
            (if has("enum") then [.enum | map(code) | join(", ")] else [] end)
            + (if .format == "date-time" then [] else range(.minLength; .maxLength; " characters") end)
            + (if has("pattern") then [.pattern | code] else [] end);
        def each: join("; ") | if . == "" then [] else ["each " + .] end;
        def limits:
            range(.minimum; .maximum; "") + range(.minItems; .maxItems; " entries")
            + range(.minProperties; .maxProperties; " entries") + bounds_of_text
            + (if .type == "array" and .items.type == "string" then .items | bounds_of_text | each else [] end)
            + (if .additionalProperties then .additionalProperties | bounds_of_text | each else [] end);

        def words: .description // "";
        def default_of:
            if has("default") then .default | tojson | code
            else words
                | if test("(^|\\. )Defaults to ") then capture("(^|\\. )Defaults to (?<d>.*?)\\.( |$)").d
                  elif test("(^|\\. )Default ") then capture("(^|\\. )Default (?<d>.*?)\\.( |$)").d
                  elif test("(^|\\. )Omitted: ") then capture("(^|\\. )Omitted: (?<d>.*?)\\.( |$)").d
                  else "" end
            end;
        def without($sentence): sub("(?<b>^|\\. )" + $sentence + "\\.(?= |$)"; .b);
        def what:
            words | without("Immutable") | without("Default .*?") | without("Defaults to .*?") | without("Omitted: .*?")
            | gsub("\\. +"; ". ") | sub("^ +"; "") | sub("[ .]*$"; ".");
        def marks($required):
            [if $required then "required" else empty end,
             if words | test("(^|\\. )Immutable\\.") then "immutable" else empty end]
            | join(", ");

        def table:
            body as $o
            | "| Field | Type and limits | Default | What |\n| --- | --- | --- | --- |",
              ($o.properties | to_entries[]
               | .key as $key | .value
               | marks(($o.required // []) | index($key) != null) as $marks
               | "| `\($key)`" + (if $marks == "" then "" else "<br>\($marks)" end)
                 + " | " + ([kind_of] + limits | join("; "))
                 + " | " + (default_of | cell)
                 + " | " + (what | cell) + " |");
        def rules:
            body | ."x-kubernetes-validations" // []
            | if length == 0 then empty
              else "", "Refused by the API server:", "", (.[] | "- " + .message) end;
        def section($kind; $path):
            "", "### \($kind): `\($path)`", "", words, "", table, rules,
            (body.properties | to_entries[] | select(.value | is_object)
             | .key as $key | .value
             | section($kind; $path + "." + $key + (if .type == "array" then "[]" else "" end)));

        .spec as $crd | $crd.versions[0] as $v | $v.schema.openAPIV3Schema as $schema
        | $schema.description, "",
          "| | |", "| --- | --- |",
          "| `apiVersion` | `\($crd.group)/\($v.name)` |",
          "| Scope | \($crd.scope | ascii_downcase) |",
          "| Names | `\($crd.names.plural)`, `\($crd.names.singular)`, `\($crd.names.shortNames | join("`, `"))`; category `\($crd.names.categories | join("`, `"))` |",
          "| Columns | \([$v.additionalPrinterColumns[] | select((.priority // 0) == 0) | .name | ascii_upcase] | join(", ")); with `-o wide` also \([$v.additionalPrinterColumns[] | select((.priority // 0) > 0) | .name | ascii_upcase] | join(", ")) |",
          "| `--field-selector` | `metadata.name`\(if $crd.scope == "Namespaced" then ", `metadata.namespace`" else "" end), \([$v.selectableFields[].jsonPath | ltrimstr(".") | "`" + . + "`"] | join(", ")) |",
          "| Subresources | \($v.subresources | keys | map("`" + . + "`") | join(", ")) |",
          ($schema | rules),
          ($schema.properties | to_entries[] | .key as $key | .value | section($crd.names.kind; $key))
    '
}

# The object of this kind in a file of examples/, without what is around it.
example() {
    printf '\n```yaml\n'
    awk -v kind="$2" '
        /^---$/ { if (found) exit; text = ""; next }
        /^#/ { next }
        { text = text $0 "\n" }
        $0 == "kind: " kind { found = 1 }
        END { printf "%s", text }
    ' "examples/$1"
    # shellcheck disable=SC2016 # A fence of Markdown.
    printf '```\n\nFrom [examples/%s](../examples/%s).\n' "$1" "$1"
}

# constants FILE PATTERN: rows of a table, from documented constants whose name matches.
constants() {
    awk -v pattern="$2" '
        /^ *\/\/\/ / { sub(/^ *\/\/\/ /, ""); doc = doc (doc == "" ? "" : " ") $0; next }
        /^ *pub const [A-Z_]+: &str = / {
            name = $3
            sub(/:$/, "", name)
            value = $0
            sub(/^[^"]*"/, "", value)
            sub(/".*/, "", value)
            gsub(/ *\(\[`[^]]*`\]\)/, "", doc)
            gsub(/\[`SECRET`\]/, "`secret`", doc)
            if (name ~ pattern) printf "| `%s` | %s |\n", value, doc
        }
        { doc = "" }
    ' "$1"
}
part() { sed -n "/^pub mod $2 {/,/^}/p" "$1"; }
without_part() { sed "/^pub mod $2 {/,/^}/d" "$1"; }

reference() {
    cat <<'END'
# API reference

Generated by `make api-docs` from the definitions in `crds/` and from `src/api`. `kubectl explain apikey.spec` says the same
where they are installed. What the parts mean together: [README](../README.md), [tokens](tokens.md), [security](security.md).

"Immutable" includes that a field can't be added or removed later. The API server itself refuses whatever breaks a limit or
rule given here; the rules of an Organization are the operator's, which says so in the status.

- [ApiKey](#apikey)
- [Organization](#organization)
- [Conditions and reasons](#conditions-and-reasons)
- [Annotations and labels](#annotations-and-labels)
- [The delivered Secret](#the-delivered-secret)

## ApiKey

END
    sections apikeys
    printf '\n### Example of an ApiKey\n'
    example secret-shape.yaml ApiKey
    printf '\n## Organization\n\n'
    sections organizations
    printf '\n### Example of an Organization\n'
    example organization.yaml Organization
    cat <<'END'

## Conditions and reasons

`Ready` and `Delivered` are always there, the others only while they are `True`. The README has
[which of them come together](../README.md#status).

| Type | Meaning |
| --- | --- |
END
    constants <(without_part src/api/conditions.rs reason) '^'
    cat <<'END'

Reasons of conditions and of Events:

| Reason | Meaning |
| --- | --- |
END
    constants <(part src/api/conditions.rs reason) '^'
    cat <<'END'

## Annotations and labels

| Name | What |
| --- | --- |
END
    constants src/api/names.rs '^ANNOTATION_'
    constants src/api/names.rs '^LABEL_'
    cat <<'END'

## The delivered Secret

| Data key | What |
| --- | --- |
END
    constants <(part src/api/names.rs data) '^'
}

case "${1:-}" in
'')
    fresh=$(reference)
    printf '%s\n' "$fresh" >docs/api.md
    ;;
--check)
    diff -u docs/api.md <(reference) || {
        echo "docs/api.md is stale: run make api-docs" >&2
        exit 1
    }
    ;;
*)
    echo "usage: api-docs.sh [--check]" >&2
    exit 2
    ;;
esac
