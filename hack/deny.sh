#!/usr/bin/env bash
# cargo-deny with these arguments; installs it outside the checkout if it is missing.
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
cargo-deny --locked check --hide-inclusion-graph "$@"
