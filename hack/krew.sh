#!/usr/bin/env bash
# Creates the archives and the krew manifest for a release of the kubectl plugin.
#
#   krew.sh archive BINARY DIR [OS-ARCH]  writes an archive of the plugin to DIR; the default is this platform
#   krew.sh [--partial] VERSION DIR       writes the manifest for the archives in DIR to standard output;
#                                         --partial leaves out platforms without an archive
#
# BASE_URL is the address of the archives, and HOMEPAGE is that of the project.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf '%s\n' "$*" >&2
    exit 2
}
usage() { fail "usage: krew.sh archive BINARY DIR [OS-ARCH] | krew.sh [--partial] VERSION DIR"; }

platform() {
    local os arch
    os=$(uname -s | tr '[:upper:]' '[:lower:]')
    case $(uname -m) in
    x86_64 | amd64) arch=amd64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *) fail "unknown architecture: $(uname -m)" ;;
    esac
    printf '%s-%s' "$os" "$arch"
}

sha256() {
    if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

archive() {
    local binary=$1 folder=$2 name=kubectl-apikey-$3.tar.gz
    content=$(mktemp -d)
    trap 'rm -rf "$content"' EXIT
    install -m 755 "$binary" "$content/kubectl-apikey"
    install -m 755 hack/krew/kubectl_complete-apikey "$content/"
    install -m 644 LICENSE "$content/"
    mkdir -p "$folder"
    tar -czf "$folder/$name" -C "$content" LICENSE kubectl-apikey kubectl_complete-apikey
    printf '%s\n' "$folder/$name"
}

manifest() {
    local partial=$1 version=${2#v} folder=$3 name file text found=0
    [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || fail "not a version: $2"
    : "${BASE_URL:?where the archives will be found, for example https://example.com/releases/v$version}"
    : "${HOMEPAGE:?address of the page of the project}"
    text=$(<hack/krew/apikey.yaml)
    text=${text//@VERSION@/$version}
    text=${text//@BASE_URL@/${BASE_URL%/}}
    text=${text//@HOMEPAGE@/$HOMEPAGE}
    while read -r name; do
        file=$folder/kubectl-apikey-$name.tar.gz
        if [ -f "$file" ]; then
            text=${text//@$name@/$(sha256 "$file")}
            found=$((found + 1))
        elif [ "$partial" = no ]; then
            fail "missing: $file"
        fi
    done < <(sed -n 's/^ *sha256: @\(.*\)@$/\1/p' hack/krew/apikey.yaml)
    [ "$found" -gt 0 ] || fail "$folder has no archive: krew.sh archive BINARY $folder"
    # Leave out platforms without a checksum.
    awk '
        /^    - selector:/ { if (keep) printf "%s", block; block = ""; keep = 1; inside = 1 }
        inside { block = block $0 "\n"; if (/sha256: @/) keep = 0; next }
        !/^#/ { print }
        END { if (keep) printf "%s", block }
    ' <<<"$text"
}

case ${1:-} in
archive)
    [ $# -ge 3 ] || usage
    archive "$2" "$3" "${4:-$(platform)}"
    ;;
--partial)
    [ $# -eq 3 ] || usage
    manifest yes "$2" "$3"
    ;;
*)
    [ $# -eq 2 ] || usage
    manifest no "$1" "$2"
    ;;
esac
