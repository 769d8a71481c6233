#!/usr/bin/env bash
# Checks formatting, clippy and the chart, and the scripts if shellcheck is installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$(tests/controlplane/build.sh --print-dir):$PATH

cargo fmt --all --check
cargo clippy --locked --workspace --all-targets -- -D warnings
helm lint --strict --quiet charts/apikey-operator
if command -v shellcheck >/dev/null; then
    shellcheck --external-sources --check-sourced .ci/run hack/*.sh hack/krew/kubectl_complete-apikey tests/controlplane/build.sh tests/flux/build.sh
else
    echo "shellcheck is not installed: the scripts are not checked"
fi
