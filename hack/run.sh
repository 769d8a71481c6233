#!/usr/bin/env bash
# Runs the operator from this checkout in the foreground until Ctrl-C.
#
#   run.sh                    on its own control plane, with the chart's ServiceAccount
#   run.sh --kubeconfig FILE  on the cluster of FILE, with the permissions of FILE
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly namespace=apikey-operator
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/debug

message() { printf '%s\n' "$*" >&2; }

case "${1:-}" in
'') exec "$target/controlplane" exec -- "${BASH_SOURCE[0]}" --inside ;;
--inside)
    message "Installing the chart"
    helm install "$namespace" charts/apikey-operator \
        --namespace "$namespace" --create-namespace --wait \
        --set controller.replicas=0 --set tokenServer.replicas=0 >/dev/null
    operator=$CONTROLPLANE_DIR/operator.kubeconfig
    "$target/controlplane" service-account-kubeconfig "$namespace" "$namespace" --out "$operator" >/dev/null
    # One process for both parts needs the rights of both.
    kubectl create clusterrolebinding "$namespace-run" --clusterrole="$namespace-token" \
        --serviceaccount="$namespace:$namespace" >/dev/null
    path="
  export PATH='$(dirname "$(command -v kubectl)")':\"\$PATH\""
    ;;
--kubeconfig)
    KUBECONFIG=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
    export KUBECONFIG
    operator=$KUBECONFIG
    # Prefer the user's kubectl, because its version may match the cluster better.
    PATH=$PATH:$(tests/controlplane/build.sh --print-dir)
    command -v kubectl >/dev/null || {
        message "missing: kubectl"
        message "  fix: install it, or build one with make controlplane"
        exit 2
    }
    kubectl apply --server-side -f crds/ >&2
    kubectl create namespace "$namespace" --dry-run=client -o yaml | kubectl apply --server-side -f - >&2
    path=
    ;;
*)
    message "usage: run.sh [--kubeconfig FILE]"
    exit 2
    ;;
esac

cat >&2 <<END

The operator runs until Ctrl-C. In another shell:

  export KUBECONFIG='$KUBECONFIG'$path
  kubectl apply -f examples/quickstart.yaml
  kubectl get apikeys --watch
  kubectl describe secret ci-upload
  kubectl get secret ci-upload -o go-template='{{.data.secret | base64decode}}' |
    curl http://127.0.0.1:8080/auth/v1/api-key/token --data-urlencode name=ci-upload --data-urlencode secret@-

Below are its logs and, as JSON, its audit lines.

END
KUBECONFIG=$operator exec "$target/apikey-operator" run --namespace "$namespace" \
    --token-listen 127.0.0.1:8080 --issuer-url http://127.0.0.1:8080 --admin-listen 127.0.0.1:0
