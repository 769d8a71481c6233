#!/usr/bin/env bash
# The chart for those who use kubectl alone: one file, without what is of Helm.
#
#   install-yaml.sh [HELM OPTION...]  the file, on standard output
#   install-yaml.sh --check           on a control plane, it makes what Helm makes; started by
#                                     `make chart`, as: controlplane exec -- hack/install-yaml.sh --check
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly chart=charts/apikey-operator
readonly release=apikey-operator
if [ -z "${CONTROLPLANE_DIR:-}" ]; then PATH=$(tests/controlplane/build.sh --print-dir):$PATH; fi
command -v helm >/dev/null || {
    printf 'missing: helm\n  fix: make controlplane, or install it\n' >&2
    exit 2
}

namespace() {
    cat <<END
apiVersion: v1
kind: Namespace
metadata:
  name: $release
  labels:
    app.kubernetes.io/part-of: apikey-operator
    pod-security.kubernetes.io/enforce: restricted
END
}

write() {
    cat <<END
# apikey-operator $(sed -n 's/^appVersion: "\(.*\)"$/\1/p' "$chart/Chart.yaml"), with default values. Apply it by server-side apply; again, to upgrade:
#
#   kubectl apply --server-side -f install.yaml
#
# "kubectl delete -f install.yaml" removes the definitions too, and with them every ApiKey,
# Organization and delivered Secret.
---
END
    namespace
    helm template "$release" "$chart" --namespace "$release" --set crds.keep=false "$@" |
        sed -e '/^ *helm\.sh\/chart: /d' -e '/^ *app\.kubernetes\.io\/managed-by: Helm$/d' -e '/^# Source: /d'
}

# Live objects of the file $1, without what differs each time or is of Helm.
live() {
    kubectl get --filename "$1" --output json | jq --sort-keys '
        .items
        | map(del(.status, .metadata.uid, .metadata.resourceVersion, .metadata.creationTimestamp,
                  .metadata.generation, .metadata.managedFields, .metadata.labels["helm.sh/chart"],
                  .metadata.annotations["meta.helm.sh/release-name", "meta.helm.sh/release-namespace",
                                        "helm.sh/resource-policy", "deployment.kubernetes.io/revision"],
                  .spec.clusterIP?, .spec.clusterIPs?)
              | if .metadata.labels["app.kubernetes.io/managed-by"] == "Helm"
                then del(.metadata.labels["app.kubernetes.io/managed-by"]) else . end
              | if .metadata.annotations == {} then del(.metadata.annotations) else . end)
        | sort_by(.kind, .metadata.name)'
}

check() {
    local work=$CONTROLPLANE_DIR/install-yaml
    mkdir "$work"
    write >"$work/install.yaml"
    if grep -n 'helm\|Helm' "$work/install.yaml"; then
        echo "install.yaml speaks of Helm" >&2
        return 1
    fi
    kubectl apply --server-side --filename "$work/install.yaml" >/dev/null
    live "$work/install.yaml" >"$work/by-kubectl"
    # The definitions stay: removing them takes a while on a slow machine.
    kubectl get --filename "$work/install.yaml" --output json |
        jq '.items |= map(select(.kind != "Namespace" and .kind != "CustomResourceDefinition"))' |
        kubectl delete --timeout=60s --filename - >/dev/null
    helm install "$release" "$chart" --namespace "$release" --take-ownership >/dev/null
    live "$work/install.yaml" >"$work/by-helm"
    diff -u "$work/by-helm" "$work/by-kubectl" || {
        echo "install.yaml makes something else than the chart" >&2
        return 1
    }
    helm get manifest "$release" --namespace "$release" | grep -c '^kind: ' >"$work/objects"
    [ "$(($(cat "$work/objects") + 1))" -eq "$(jq length "$work/by-kubectl")" ] || {
        echo "install.yaml has not as many objects as the chart" >&2
        return 1
    }
    helm uninstall "$release" --namespace "$release" --wait >/dev/null
    echo "install.yaml makes the $(cat "$work/objects") objects that Helm makes, and their namespace"
}

case ${1:-} in
--check)
    [ -n "${CONTROLPLANE_DIR:-}" ] || {
        echo "the check runs on a control plane of its own: make chart" >&2
        exit 2
    }
    check
    ;;
*) write "$@" ;;
esac
