# shellcheck shell=bash
# helm uninstall, and what it keeps.

cluster_scoped() {
    kubectl get clusterroles,clusterrolebindings --selector "app.kubernetes.io/instance=$release" --output name
}

no_pods() { [ -z "$(kubectl get pods --namespace "$namespace" --output name)" ]; }

uninstall_all() {
    step "helm uninstall --wait"
    local since rest
    quietly "the consumer stops" kubectl delete pod steady --namespace "$consumers"
    since=$(now)
    quietly "helm uninstall" helm uninstall "$release" --namespace "$namespace" --wait --timeout 2m
    passed "uninstalled after $(seconds_since "$since")"
    # Helm does not wait for pods.
    within 60 "the pods end" no_pods
    passed "the last pod is gone after $(seconds_since "$since")"
    rest=$(kubectl get all,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets \
        --namespace "$namespace" --output name | grep -v -e '/default$' -e '/kube-root-ca.crt$' || true)
    [ -z "$rest$(cluster_scoped)" ] || failed "helm uninstall leaves: $rest $(cluster_scoped)"
    passed "no workload, account or role is left"
    note "helm uninstall keeps:"
    note "  $(kubectl get crd --output name | grep -c '\.apikey-operator\.dev$') definitions, with $(kubectl get apikeys --all-namespaces --output name | wc -l) ApiKey and $(kubectl get organizations --output name | wc -l) Organization"
    kubectl get secrets --namespace "$namespace" --output json | jq -r '
        [.items[] | .type] | group_by(.)[] | "    \(length) Secrets of type \(.[0]) in the namespace of the operator"'
    note "  $(kubectl get leases --namespace "$namespace" --output name | wc -l) Lease, $(kubectl get secrets --namespace "$consumers" --output name | wc -l) delivered Secret"
    since=$(now)
    quietly "it ends" kubectl delete namespace "$consumers" --timeout=60s
    passed "without an operator, a namespace with a key is gone after $(seconds_since "$since")"
    since=$(now)
    quietly "it ends" kubectl delete namespace "$namespace" --timeout=60s
    passed "the namespace of the operator is gone after $(seconds_since "$since")"
    since=$(now)
    quietly "they end" kubectl delete crd apikeys.apikey-operator.dev organizations.apikey-operator.dev --timeout=60s
    passed "the definitions, with an Organization, are gone after $(seconds_since "$since")"
}
