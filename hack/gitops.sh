#!/usr/bin/env bash
# Tests and generates what Argo CD and Flux use for ApiKeys and Organizations.
#
#   gitops.sh                 runs the tests that need Lua, on the files and on a control plane
#   gitops.sh --if-installed  runs only those on the files; skips them with a message without Lua
#   gitops.sh --write         writes the test data of gitops/argocd anew, from live objects
#   gitops.sh --argocd-cm     prints examples/gitops/argocd/argocd-cm.yaml from gitops/argocd
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly group=apikey-operator.dev
readonly scripts=gitops/argocd/$group

need_lua() {
    local name
    for name in ${LUA:-lua5.1 luajit lua lua5.4 lua5.3}; do
        command -v "$name" >/dev/null && return
    done
    if [ "${1:-}" = --if-installed ]; then
        echo "LEFT OUT: health checks and actions of Argo CD, because this machine lacks Lua: apt install lua5.1"
        exit 0
    fi
    echo "missing: Lua: apt install lua5.1" >&2
    exit 2
}

tests() {
    NEED_LUA=1 cargo test --quiet --locked --test acceptance -- "$@"
}

# Prints a file as a block of YAML with this indentation.
block() { sed -e "s/^/$(printf '%*s' "$1" '')/" -e 's/ *$//' "$2"; }

argocd_cm() {
    local action kind=$scripts/ApiKey
    cat <<END
# The configuration of Argo CD for the two kinds, until Argo CD has it built in. Generated from gitops/argocd by
# \`hack/gitops.sh --argocd-cm\`. Merge it into your ConfigMap:
#
#   kubectl patch configmap argocd-cm -n argocd --patch-file examples/gitops/argocd/argocd-cm.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
data:
  resource.customizations.health.${group}_ApiKey: |
$(block 4 "$kind/health.lua")
  resource.customizations.health.${group}_Organization: |
$(block 4 "$scripts/Organization/health.lua")
  resource.customizations.actions.${group}_ApiKey: |
    discovery.lua: |
$(block 6 "$kind/actions/discovery.lua")
    definitions:
END
    for action in rotate discard-previous suspend resume; do
        printf '      - name: %s\n        action.lua: |\n' "$action"
        block 10 "$kind/actions/$action/action.lua"
    done
}

case "${1:-}" in
'')
    need_lua
    tests gitops::
    ;;
--if-installed)
    need_lua --if-installed
    tests gitops::argocd::
    ;;
--write)
    need_lua
    GITOPS_WRITE=1 tests gitops::health::
    tests gitops::argocd::
    ;;
--argocd-cm) argocd_cm ;;
*)
    echo "usage: gitops.sh [--if-installed | --write | --argocd-cm]" >&2
    exit 2
    ;;
esac
