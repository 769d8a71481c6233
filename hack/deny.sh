#!/usr/bin/env bash
# cargo-deny; installs it outside the checkout if it is missing.
#
#   deny.sh CHECK...         these checks
#   deny.sh --if-reachable   advisories; leaves them out, and says so, if their database can't be fetched
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly version=0.20.2

if ! command -v cargo-deny >/dev/null; then
    root=${XDG_CACHE_HOME:-$HOME/.cache}/apikey-operator/cargo-deny/$version
    PATH=$root/bin:$PATH
    if ! command -v cargo-deny >/dev/null; then
        cargo install cargo-deny --version "$version" --locked --root "$root"
    fi
fi
if [ "${1:-}" = --if-reachable ]; then
    if ! fetched=$(timeout 120 cargo-deny --locked fetch db 2>&1); then
        printf 'LEFT OUT: known vulnerabilities of the dependencies, because their database can not be fetched\n%s\n' "$fetched"
        exit 0
    fi
    set -- --disable-fetch advisories
fi
cargo-deny --locked check --hide-inclusion-graph "$@"
