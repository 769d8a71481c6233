#!/usr/bin/env bash
# Checks that this machine has the tools of the build. The build of the control plane checks for Go itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf 'missing: %s\n  fix: %s\n' "$1" "$2" >&2
    exit 2
}

rust=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
command -v cargo >/dev/null ||
    fail "Rust $rust" "install rustup from https://rustup.rs; it takes the version from rust-toolchain.toml"
# The messages stay visible, because rustup may download that version now.
found=$(cargo --version) ||
    fail "Rust $rust" "rustup toolchain install $rust --component clippy,rustfmt"
case $found in
"cargo $rust "*) ;;
*) fail "Rust $rust (cargo says: $found)" "install rustup from https://rustup.rs, or Rust $rust by other means" ;;
esac
for tool in curl jq; do
    command -v "$tool" >/dev/null || fail "$tool, which tests and demo need" "apt install $tool, dnf install $tool, or brew install $tool"
done
compiler=${CC:-cc}
command -v "${compiler%% *}" >/dev/null ||
    fail "a C compiler ($compiler), for linking and for the crate aws-lc-sys" \
        "apt install gcc, dnf install gcc, or xcode-select --install"
