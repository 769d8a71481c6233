#!/usr/bin/env bash
# Builds static binaries for images and for the plugin's archives. The last line on standard output is their
# folder.
#
#   static.sh [--target TRIPLE] [PACKAGE...]   default: this machine's, operator and plugin
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf 'missing: %s\n  fix: %s\n' "$1" "$2" >&2
    exit 2
}

host=$(rustc -vV | sed -n 's/^host: //p')
triple=$host
if [ "${1:-}" = --target ]; then
    triple=$2
    shift 2
fi
case $triple in
*-linux-gnu) ;;
*) fail "a Linux target ($triple is none)" "build in the image, docker build ., or pass --target" ;;
esac

if [ "$triple" != "$host" ]; then
    compiler=${triple/-unknown/}-gcc
    command -v "$compiler" >/dev/null ||
        fail "$compiler, which builds for $triple" "apt install gcc-$(tr _ - <<<"${compiler%-gcc}"), which brings its C library"
    linker=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$triple")_LINKER
    export "$linker=$compiler"
fi
printf 'int main(void) { return 0; }\n' | "${compiler:-${CC:-cc}}" -static -x c - -o /dev/null 2>/dev/null ||
    fail "the C library as an archive (libc.a)" "apt install libc6-dev, or dnf install glibc-static"

[ $# -gt 0 ] || set -- apikey-operator kubectl-apikey
packages=()
for package in "$@"; do packages+=(--package "$package"); done
# These flags apply only to the target. Build scripts and macros are built for this machine.
flags=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$triple")_RUSTFLAGS
export "$flags=-C target-feature=+crt-static ${RUSTFLAGS:-}"
unset RUSTFLAGS
cargo build --release --locked --target "$triple" --bins "${packages[@]}" >&2

folder=${CARGO_TARGET_DIR:-target}/$triple/release
for binary in "$folder"/*; do
    if [ ! -f "$binary" ] || [ ! -x "$binary" ]; then continue; fi
    if readelf --program-headers "$binary" | grep -q INTERP; then
        echo "$binary is not static" >&2
        exit 1
    fi
done
(cd "$folder" && pwd)
