#!/usr/bin/env bash
# Fuzzes requests and stored documents, each target for FUZZ_SECONDS. Needs a nightly compiler and
# cargo-fuzz, unlike all other scripts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

toolchain=${FUZZ_TOOLCHAIN:-nightly}
seconds=${FUZZ_SECONDS:-60}

fail() {
    printf 'missing: %s\n  fix: %s\n' "$1" "$2" >&2
    exit 2
}
cargo "+$toolchain" --version >/dev/null 2>&1 ||
    fail "Rust $toolchain" "rustup toolchain install $toolchain"
cargo fuzz --version >/dev/null 2>&1 ||
    fail "cargo-fuzz" "cargo install cargo-fuzz --locked"
command -v c++ >/dev/null ||
    fail "a C++ compiler (c++), for libFuzzer" "apt install g++ or dnf install gcc-c++"

# New inputs go to fuzz/found, which git ignores.
for target in line object plan record request secret token; do
    mkdir -p "fuzz/found/$target"
    cargo "+$toolchain" fuzz run "$target" "fuzz/found/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=5 -print_final_stats=1
done
