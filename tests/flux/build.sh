#!/usr/bin/env bash
# Builds the kustomize-controller of Flux for `make flux`, from source at the version pinned in go.mod, and the
# definitions of its kinds. The first run takes minutes, and later runs return at once.
#
#   build.sh              build the missing parts
#   build.sh --print-dir  only print the folder
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly module=github.com/fluxcd/kustomize-controller
# The script uses only its definitions, which kustomize-controller watches. Its checksum is in go.sum, and `go mod tidy` would remove it.
readonly source_module=github.com/fluxcd/source-controller@v1.9.6
readonly limit=1800 # seconds that the build may take

version=$(sed -n "s|^[[:space:]]*$module \\(v[^ ]*\\).*|\\1|p" go.mod)
dir=${XDG_CACHE_HOME:-$HOME/.cache}/apikey-operator/flux/$version
case "${1:-}" in
--print-dir)
    echo "$dir"
    exit 0
    ;;
'') ;;
*)
    echo "usage: build.sh [--print-dir]" >&2
    exit 2
    ;;
esac
stamp=$(cat go.mod go.sum "${BASH_SOURCE[0]##*/}" | cksum)
if [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ]; then
    echo "kustomize-controller $version is built: $dir" >&2
    exit 0
fi
command -v go >/dev/null || {
    echo "missing: Go, to build kustomize-controller: https://go.dev/dl/" >&2
    exit 2
}
export CGO_ENABLED=0 GOWORK=off

echo "building kustomize-controller $version; the first time takes a few minutes" >&2
mkdir -p "$dir"
timeout "$limit" go build -mod=readonly -buildvcs=false -ldflags '-s -w' -o "$dir/kustomize-controller" "$module"
definitions() { timeout 300 go mod download -json "$1" | jq -r .Dir; }
own=$(definitions "$module@$version")
sources=$(definitions "$source_module")
install -m 644 "$own"/config/crd/bases/*.yaml "$sources"/config/crd/bases/*.yaml "$dir"
echo "$stamp" >"$dir/.stamp"
