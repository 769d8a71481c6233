#!/usr/bin/env bash
# Generated files are what the code generates, and the versions agree.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
cargo run --quiet --locked --bin apikey-operator -- crds --out "$fresh"
for folder in crds charts/apikey-operator/files/crds; do
    diff -ru "$folder" "$fresh" || {
        echo "$folder is stale: run make crds" >&2
        exit 1
    }
done

cargo run --quiet --locked --bin kubectl-apikey -- docs >"$fresh/cli.md"
diff -u docs/cli.md "$fresh/cli.md" || {
    echo "docs/cli.md is stale: run make cli-docs" >&2
    exit 1
}

hack/api-docs.sh --check
hack/chart-readme.sh --check
hack/cited-tests.sh

version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
for line in "version: $version" "appVersion: \"$version\""; do
    grep -qxF "$line" charts/apikey-operator/Chart.yaml || {
        echo "charts/apikey-operator/Chart.yaml lacks the line of Cargo.toml's version: $line" >&2
        exit 1
    }
done
echo "crds/, the chart's copy, its version and its README, docs/api.md and docs/cli.md are up to date"
