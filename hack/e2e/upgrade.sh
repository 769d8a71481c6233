# shellcheck shell=bash
# Upgrades and restarts while a consumer requests tokens.

# The number of keys from before the upgrade.
readonly old_keys=20

install_old() {
    step "helm install --wait of $UPGRADE_FROM"
    local -a options
    build_old
    make_namespace
    read -ra options <<<"${UPGRADE_FROM_OPTIONS:-}"
    check "installed" helm_release install "$work/old/charts/apikey-operator" \
        "$tag-$(git rev-parse --short "$UPGRADE_FROM^{commit}")" "${options[@]}"
}

# The parts that must not change: id and revision of each key, uid and a checksum of the data of each Secret.
fingerprints() {
    kubectl get apikeys --namespace "$consumers" --output json |
        jq -r '.items[] | "\(.metadata.name) \(.status.keyId) \(.status.revision)"'
    kubectl get secrets --namespace "$consumers" --output json |
        jq -c '.items[] | [.metadata.name, .metadata.uid, .data]' |
        while read -r secret; do
            jq -rj '"\(.[0]) \(.[1]) "' <<<"$secret"
            jq -c '.[2]' <<<"$secret" | sha256sum
        done
}
make_old_keys() {
    local number
    for number in $(seq "$old_keys"); do
        printf -- '---\napiVersion: apikey-operator.dev/v1alpha1\nkind: ApiKey\nmetadata: {name: old-%d}\nspec: {org: e2e, roles: [caller]}\n' "$number"
    done | kubectl apply --namespace "$consumers" --filename -
    kubectl wait --namespace "$consumers" --for=condition=Ready apikeys --all --timeout=60s
}

upgrade_to_current() {
    step "helm upgrade --wait from $UPGRADE_FROM"
    local since
    quietly "keys" make_old_keys
    fingerprints >"$work/before"
    since=$(now)
    quietly "helm upgrade" helm_release upgrade charts/apikey-operator "$tag"
    quietly "the new controller works" new_key after-upgrade
    undisturbed "the upgrade took $(seconds_since "$since")" "$since"
    quietly "the key of the test goes" kubectl delete apikey after-upgrade --namespace "$consumers"
    within 30 "its Secret goes" secret_is_gone after-upgrade
    fingerprints >"$work/after"
    check "$((old_keys + 1)) keys keep their id, revision, Secret and value" diff "$work/before" "$work/after"
}

# new_key NAME: creates a key and waits until it is ready.
new_key() {
    kubectl apply --namespace "$consumers" --filename - <<END
apiVersion: apikey-operator.dev/v1alpha1
kind: ApiKey
metadata: {name: $1}
spec: {org: e2e, roles: [caller]}
END
    kubectl wait --namespace "$consumers" --for=condition=Ready "apikey/$1" --timeout=60s
}
secret_is_gone() { ! kubectl get secret "$1" --namespace "$consumers"; }

upgrade_with_changed_values() {
    step "helm upgrade --wait with other values"
    local since
    since=$(now)
    quietly "helm upgrade" helm_release upgrade charts/apikey-operator "$tag" \
        --set controller.concurrency=16,tokenServer.maxConnections=2048
    undisturbed "all pods are new after $(seconds_since "$since")" "$since"
}

restart_all() {
    step "kubectl rollout restart"
    local since name
    since=$(now)
    for name in $(deployments); do
        quietly "restart of $name" kubectl rollout restart "deployment/$name" --namespace "$namespace"
    done
    all_available
    undisturbed "all pods are new after $(seconds_since "$since")" "$since"
}
all_available() {
    local name
    for name in $(deployments); do
        quietly "$name is available" kubectl rollout status "deployment/$name" --namespace "$namespace" --timeout=120s
    done
}
