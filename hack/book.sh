#!/usr/bin/env bash
# Checks the links of the documentation, and builds it as a book.
#
#   book.sh          checks the links, then builds docs/ into dist/book/docs
#   book.sh --links  checks the links only: offline, within a second, with bash and awk alone
#
# A relative link must lead to a file of this repository, and an anchor to a heading of that page. Each page of docs/ must be in
# docs/SUMMARY.md. A page that code, charts, examples or scripts name must exist, with the anchor that they name.
#
# The first build installs mdbook and mdbook-mermaid from crates.io outside the checkout, in a few minutes. Readers of
# the book need no network: a script in the book draws the diagrams.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly mdbook=0.5.4 mermaid=0.17.1 out=dist/book

case "${1:-}" in
'' | --links) ;;
*)
    echo "usage: book.sh [--links]" >&2
    exit 2
    ;;
esac

# Pages whose links are checked.
pages() {
    find README.md CONTRIBUTING.md SECURITY.md CHANGELOG.md docs examples gitops charts -name '*.md' -type f | LC_ALL=C sort
}

# links_and_anchors FILE...: for each heading `anchor FILE ANCHOR`, for each relative link `link FILE LINE FILE ANCHOR`,
# separated by tabs. The anchor of a heading is the same as on GitHub.
links_and_anchors() {
    LC_ALL=C awk '
        function slug(text,   id) {
            gsub(/!?\[/, "", text)
            gsub(/\]\([^)]*\)/, "", text)
            id = tolower(text)
            gsub(/[^a-z0-9_ \200-\377-]/, "", id)
            gsub(/ /, "-", id)
            return id
        }
        # The path without . and .., relative to the root of the repository.
        function resolve(path,   n, parts, i, kept, depth, result) {
            n = split(path, parts, "/")
            depth = 0
            for (i = 1; i <= n; i++) {
                if (parts[i] == "" || parts[i] == ".") continue
                if (parts[i] == ".." && depth > 0 && kept[depth] != "..") { depth--; continue }
                kept[++depth] = parts[i]
            }
            result = "."
            for (i = 1; i <= depth; i++) result = (i == 1 ? "" : result "/") kept[i]
            return result
        }
        FNR == 1 {
            folder = FILENAME
            if (!sub(/\/[^\/]*$/, "", folder)) folder = "."
            fence = ""
            delete seen
        }
        match($0, /^ *(```+|~~~+)/) {
            mark = substr($0, RSTART, RLENGTH)
            gsub(/ /, "", mark)
            if (fence == "") fence = mark
            else if (index(mark, fence) == 1) fence = ""
            next
        }
        fence != "" { next }
        /^#+ / {
            heading = $0
            sub(/^#+ +/, "", heading)
            sub(/ +#*$/, "", heading)
            id = slug(heading)
            count = seen[id]++
            print "anchor\t" FILENAME "\t" (count ? id "-" count : id)
        }
        {
            rest = $0
            while (match(rest, /<a (id|name)="[^"]*"/)) {
                id = substr(rest, RSTART, RLENGTH)
                gsub(/^[^"]*"|"$/, "", id)
                print "anchor\t" FILENAME "\t" id
                rest = substr(rest, RSTART + RLENGTH)
            }
            rest = $0
            gsub(/`[^`]*`/, "", rest)
            while (match(rest, /\]\([^()]*(\([^()]*\))?[^()]*\)/)) {
                target = substr(rest, RSTART + 2, RLENGTH - 3)
                rest = substr(rest, RSTART + RLENGTH)
                if (target ~ /^[a-z]+:/) continue
                id = ""
                if (i = index(target, "#")) {
                    id = substr(target, i + 1)
                    target = substr(target, 1, i - 1)
                }
                print "link\t" FILENAME "\t" FNR "\t" (target == "" ? FILENAME : resolve(folder "/" target)) "\t" id
            }
        }
    ' "$@"
}

# named_in_code: prints the other references to pages, as `link FILE LINE FILE ANCHOR`.
named_in_code() {
    local folders=() folder
    for folder in src crates xtask tests hack charts examples gitops crds benches fuzz .ci .github Makefile Cargo.toml; do
        if [ -e "$folder" ]; then folders+=("$folder"); fi
    done
    grep -rnoIE --exclude-dir=target --exclude-dir=node_modules --exclude='*.md' \
        '(^|[^/A-Za-z0-9_.-])(\.\./)*docs/[a-z-]+\.(md|json|toml)(#[A-Za-z0-9_-]+)?' "${folders[@]}" |
        LC_ALL=C awk -F: '{
            name = $0
            sub(/^[^:]*:[^:]*:/, "", name)
            sub(/^.*docs\//, "docs/", name)
            id = ""
            if (i = index(name, "#")) { id = substr(name, i + 1); name = substr(name, 1, i - 1) }
            print "link\t" $1 "\t" $2 "\t" name "\t" id
        }'
}

check_links() {
    local files=() file line target id kind count=0 wrong=0
    local -A anchors=()
    mapfile -t files < <(pages)
    local found
    found=$(links_and_anchors "${files[@]}")
    while IFS=$'\t' read -r kind file id; do
        if [ "$kind" = anchor ]; then anchors[$file#$id]=1; fi
    done <<<"$found"
    # The anchor is the last field: `read` treats a tab as white space, and would drop an empty field before others.
    while IFS=$'\t' read -r kind file line target id; do
        [ "$kind" = link ] || continue
        count=$((count + 1))
        if [ ! -e "$target" ]; then
            echo "$file:$line: $target does not exist" >&2
            wrong=$((wrong + 1))
        elif [ -n "$id" ] && [ -z "${anchors[$target#$id]:-}" ]; then
            echo "$file:$line: $target has no heading for #$id" >&2
            wrong=$((wrong + 1))
        fi
    done < <(
        printf '%s\n' "$found"
        named_in_code
    )
    for file in docs/*.md; do
        if [ "$file" != docs/SUMMARY.md ] && ! grep -qF "](${file#docs/})" docs/SUMMARY.md; then
            echo "docs/SUMMARY.md lacks ${file#docs/}" >&2
            wrong=$((wrong + 1))
        fi
    done
    if [ "$wrong" -gt 0 ]; then
        echo "$wrong links are broken" >&2
        exit 1
    fi
    echo "all $count links lead to a file, and to a heading if they have an anchor"
}

# tool NAME VERSION [OPTION...]: installs it if it is missing, and prints its path.
tool() {
    local name=$1 version=$2 root
    shift 2
    root=${XDG_CACHE_HOME:-$HOME/.cache}/apikey-operator/$name/$version
    if [ ! -x "$root/bin/$name" ]; then
        echo "installing $name $version from crates.io into $root: the first time this takes some minutes" >&2
        cargo install "$name" --version "$version" --locked --root "$root" "$@" >&2
    fi
    printf '%s' "$root/bin"
}

build() {
    local stage folder link file
    folder=$(tool mdbook "$mdbook" --no-default-features --features search)
    PATH=$folder:$PATH
    folder=$(tool mdbook-mermaid "$mermaid")
    PATH=$folder:$PATH

    # The script that draws diagrams goes into a copy, so that the checkout does not change.
    stage=$(mktemp -d)
    # shellcheck disable=SC2064 # The present value of stage.
    trap "rm -rf '$stage'" EXIT
    cp -R book.toml docs "$stage"
    RUST_LOG=warn mdbook-mermaid install "$stage"
    rm -rf "$out"
    mdbook build "$stage" --dest-dir "$PWD/$out/docs"

    # Links to files outside of docs/ lead to copies. mdbook turns each link to an .md file into a link to .html.
    for file in "$out"/docs/*.html; do
        sed 's|href="\(\.\./[^"#]*\)\.html\(["#]\)|href="\1.md\2|g' "$file" >"$file.new"
        mv "$file.new" "$file"
    done
    while read -r link; do
        link=${link#../}
        link=${link%/}
        if [ ! -e "$link" ]; then
            echo "the book has a link to $link, which does not exist" >&2
            exit 1
        fi
        mkdir -p "$out/$(dirname "$link")"
        cp -R "$link" "$out/$(dirname "$link")"
    done < <(grep -ohE 'href="\.\./[^"#]+' "$out"/docs/*.html | sed 's/^href="//' | LC_ALL=C sort -u)
    echo "the first page of the book is $out/docs/index.html"
}

check_links
if [ "${1:-}" != --links ]; then build; fi
