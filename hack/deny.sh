#!/usr/bin/env bash
# hack/deny.sh [--if-reachable] CHECK...: runs these checks of cargo-deny, and installs it outside the checkout if it is
# missing. With --if-reachable skips the checks if the database of known vulnerabilities can't be fetched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly version=0.20.2
readonly database=https://github.com/RustSec/advisory-db

if [ "${1-}" = --if-reachable ]; then
    shift
    GIT_TERMINAL_PROMPT=0 timeout 30 git ls-remote --quiet --exit-code "$database" HEAD >/dev/null 2>&1 || {
        echo "left out: $* of the dependencies, because $database can't be reached"
        exit 0
    }
fi
if ! command -v cargo-deny >/dev/null; then
    root=${XDG_CACHE_HOME:-$HOME/.cache}/apikey-operator/cargo-deny/$version
    PATH=$root/bin:$PATH
    if ! command -v cargo-deny >/dev/null; then
        cargo install cargo-deny --version "$version" --locked --root "$root"
    fi
fi
cargo-deny --locked check --hide-inclusion-graph "$@"
