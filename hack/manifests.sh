#!/usr/bin/env bash
# Runs linters on YAML, the rendered chart and Dockerfiles.
#
#   manifests.sh                 runs everything; fails if a required program is missing
#   manifests.sh --if-installed  skips everything with a message if a required program is missing
#
# Installs the linters into a folder of the user's cache, with the versions of tests/manifests. chart.sh tests
# that Helm and the API server accept the chart.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. hack/lib.sh
PATH=$(tests/controlplane/build.sh --print-dir):$PATH

readonly chart=charts/apikey-operator requirements=tests/manifests/requirements.txt
# Kinds of other projects, for which kubernetes-validate has no schema.
readonly foreign='Certificate|HTTPRoute|PodMonitor|ServiceMonitor|PrometheusRule'
cache=${XDG_CACHE_HOME:-$HOME/.cache}/apikey-operator/manifests/$(cksum <"$requirements" | tr ' ' -)
bin=$cache/venv/bin

missing() {
    command -v python3 >/dev/null && python3 -c 'import venv, ensurepip' 2>/dev/null ||
        echo "python3 with venv: apt install python3-venv"
    command -v helm >/dev/null || echo "helm: make controlplane"
}

# Installs the linters once for each set of versions.
install_linters() {
    [ ! -e "$cache/complete" ] || return 0
    rm -rf "$cache"
    python3 -m venv "$cache/venv"
    "$bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        --requirement "$requirements"
    touch "$cache/complete"
}

# check TEXT COMMAND...: checks that the command succeeds. Otherwise shows its output.
check() {
    local text=$1
    shift
    if "$@" >"$work/output" 2>&1; then
        passed=$((passed + 1))
        printf '✓ %s\n' "$text"
    else
        failed=$((failed + 1))
        printf '✗ %s\n' "$text"
        cat "$work/output"
    fi
}

oldest_kubernetes() { sed -n 's/^kubeVersion: ">=\([0-9]*\.[0-9]*\)\..*/\1/p' "$chart/Chart.yaml"; }
newest_kubernetes() {
    sed -n 's/^[[:space:]]*k8s.io\/kubernetes v\([0-9]*\.[0-9]*\)\..*/\1/p' tests/controlplane/go.mod | head -n 1
}

render() {
    helm template apikey-operator "$chart" --namespace apikey-operator --kube-version "$1.0" \
        --values "$2" --set metrics.podMonitor.enabled=true,metrics.serviceMonitor.enabled=true \
        --set metrics.prometheusRule.enabled=true,metrics.dashboard.enabled=true
}
# valid VERSION FILE: checks the file with the schemas of that Kubernetes, and refuses unknown fields.
valid() {
    "$bin/kubernetes-validate" --strict --quiet --kubernetes-version "$1" "$2" >"$work/valid" 2>&1 || {
        cat "$work/valid"
        return 1
    }
    # A kind without a schema causes only a warning, which would hide a misspelt kind.
    ! grep -vE "^WARN .* for kind ($foreign) with" "$work/valid"
}
hardened() {
    "$bin/checkov" --config-file .checkov.yaml --framework kubernetes --skip-download \
        --compact --quiet --file "$1"
}

case "${1:-}" in
'' | --if-installed) ;;
*)
    echo "usage: manifests.sh [--if-installed]" >&2
    exit 2
    ;;
esac
need_all "make manifests" "$(missing)" "${1:-}"
install_linters
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

documented() { grep -qF "$(oldest_kubernetes) to $(newest_kubernetes)" docs/support.md; }
check "docs/support.md names the oldest and the newest Kubernetes" documented
check "yamllint finds no problem in YAML" "$bin/yamllint" --strict .
for values in "$chart"/ci/*-values.yaml; do
    set=$(basename "$values" -values.yaml)
    for version in "$(oldest_kubernetes)" "$(newest_kubernetes)"; do
        render "$version" "$values" >"$work/$set.yaml"
        check "$set: what the chart renders is valid in Kubernetes $version" valid "$version" "$work/$set.yaml"
    done
    check "$set: checkov finds no problem without a waiver" hardened "$work/$set.yaml"
done
while read -r file; do
    check "hadolint finds no problem in $file" "$bin/hadolint" "$file"
done < <(find . \( -name target -o -name .git \) -prune -o -name 'Dockerfile*' -type f -print)

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
