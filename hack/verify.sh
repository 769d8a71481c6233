#!/usr/bin/env bash
# Generated files are what the code generates, and the versions agree.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo xtask crds --check
cargo xtask openapi --check
cargo xtask cli-docs --check
cargo xtask api-docs --check
cargo xtask chart-readme --check
hack/cited-tests.sh

version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
for line in "version: $version" "appVersion: \"$version\""; do
    grep -qxF "$line" charts/apikey-operator/Chart.yaml || {
        echo "charts/apikey-operator/Chart.yaml lacks the line of Cargo.toml's version: $line" >&2
        exit 1
    }
done
echo "crds/, the chart's copy, its version and its README, docs/api.md and docs/cli.md are up to date"
