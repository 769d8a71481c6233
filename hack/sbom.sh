#!/usr/bin/env bash
# Writes the software bill of materials of the binaries to dist/, as CycloneDX JSON. Installs cargo-cyclonedx
# outside the checkout if it is missing.
#
#   sbom.sh [TARGET TRIPLE]   default: x86_64-unknown-linux-gnu
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly version=0.5.9
triple=${1:-x86_64-unknown-linux-gnu}

if ! command -v cargo-cyclonedx >/dev/null; then
    root=${XDG_CACHE_HOME:-$HOME/.cache}/apikey-operator/cargo-cyclonedx/$version
    PATH=$root/bin:$PATH
    if ! command -v cargo-cyclonedx >/dev/null; then
        cargo install cargo-cyclonedx --version "$version" --locked --root "$root"
    fi
fi
mkdir -p dist
# The tool writes beside each manifest of the workspace.
trap 'rm -f sbom-of-*.json crates/*/sbom-of-*.json tests/*/sbom-of-*.json xtask/sbom-of-*.json' EXIT
cargo cyclonedx --format json --spec-version 1.5 --target "$triple" --no-build-deps --override-filename sbom-of-this
# Merge the files of both programs. Remove time, serial number and checkout folder, so that the output is reproducible.
jq --slurp --arg here "path+file://$PWD" '
    .[1] as $plugin
    | .[0]
    | del(.serialNumber, .metadata.timestamp)
    | .components = (.components + [$plugin.metadata.component] + $plugin.components | unique_by(."bom-ref"))
    | .dependencies = (.dependencies + $plugin.dependencies
        | group_by(.ref) | map({ref: .[0].ref, dependsOn: (map(.dependsOn // []) | add | unique)}))
    | walk(if type == "string" and startswith($here) then ltrimstr($here) | ltrimstr("#") else . end)
    ' sbom-of-this.json crates/kubectl-apikey/sbom-of-this.json >dist/apikey-operator.cdx.json
echo "dist/apikey-operator.cdx.json: $(jq '.components | length' dist/apikey-operator.cdx.json) components"
