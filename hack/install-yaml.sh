#!/usr/bin/env bash
# Prints the chart as one file for kubectl, without Helm's labels.
#
#   install-yaml.sh [HELM OPTION...]  writes the file to standard output
#   install-yaml.sh --check           checks on a control plane that it creates the same objects as Helm; started by
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
# apikey-operator $(sed -n 's/^appVersion: "\(.*\)"$/\1/p' "$chart/Chart.yaml"), with default values. Apply it with server-side apply. To upgrade, apply it again:
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

# Prints the live objects of the file $1, without varying fields and Helm's labels.
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
        echo "install.yaml mentions Helm" >&2
        return 1
    fi
    kubectl apply --server-side --filename "$work/install.yaml" >/dev/null
    live "$work/install.yaml" >"$work/by-kubectl"
    # The definitions stay, because their removal takes long on a slow machine.
    kubectl get --filename "$work/install.yaml" --output json |
        jq '.items |= map(select(.kind != "Namespace" and .kind != "CustomResourceDefinition"))' |
        kubectl delete --timeout=60s --filename - >/dev/null
    helm install "$release" "$chart" --namespace "$release" --take-ownership >/dev/null
    live "$work/install.yaml" >"$work/by-helm"
    diff -u "$work/by-helm" "$work/by-kubectl" || {
        echo "install.yaml creates other objects than the chart" >&2
        return 1
    }
    helm get manifest "$release" --namespace "$release" | grep -c '^kind: ' >"$work/objects"
    [ "$(($(cat "$work/objects") + 1))" -eq "$(jq length "$work/by-kubectl")" ] || {
        echo "install.yaml and the chart have different numbers of objects" >&2
        return 1
    }
    helm uninstall "$release" --namespace "$release" --wait >/dev/null
    echo "install.yaml creates the same $(cat "$work/objects") objects as Helm, and their namespace"
}

case ${1:-} in
--check)
    [ -n "${CONTROLPLANE_DIR:-}" ] || {
        echo "the check runs on its own control plane: make chart" >&2
        exit 2
    }
    check
    ;;
*) write "$@" ;;
esac
