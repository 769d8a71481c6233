# shellcheck shell=bash
# Deleted pods.

holder() {
    kubectl get lease apikey-operator-controller --namespace "$namespace" --output jsonpath='{.spec.holderIdentity}'
}
# The pod of the leader. The leader's identity starts with the name of the pod.
leader() {
    local holder
    holder=$(holder)
    echo "${holder%_*}"
}
one_leads() { [ -n "$(holder)" ]; }
other_leads() { [ -n "$(holder)" ] && [ "$(holder)" != "$1" ]; }

# takeover TEXT OPTION...: deletes the leader's pod with these options.
takeover() {
    local text=$1 before since pod key
    shift
    within 40 "a controller leads" one_leads
    before=$(holder)
    pod=$(leader)
    key=made-by-$RANDOM
    since=$(now)
    quietly "$pod is deleted" kubectl delete pod "$pod" --namespace "$namespace" --wait=false "$@"
    within 40 "another pod leads" other_leads "$before"
    note "$text: $(leader) leads after $(seconds_since "$since")"
    quietly "a key is created" new_key "$key"
    undisturbed "$text: a new key is ready $(seconds_since "$since") after the deletion" "$since"
    quietly "the key goes" kubectl delete apikey "$key" --namespace "$consumers"
}

delete_leader() {
    step "Delete the leader's pod"
    takeover "graceful"
    all_available
    takeover "forced" --grace-period=0 --force
    all_available
}

delete_token_servers() {
    step "Delete the token servers one by one"
    local since pod
    since=$(now)
    for pod in $(pods | jq -r '.items[].metadata
            | select(.deletionTimestamp == null and .labels["app.kubernetes.io/component"] == "token-server") | .name'); do
        quietly "$pod is deleted" kubectl delete pod "$pod" --namespace "$namespace" --timeout=60s
        all_available
    done
    undisturbed "both are replaced after $(seconds_since "$since")" "$since"
}

no_controller() {
    [ -z "$(kubectl get pods --namespace "$namespace" --output name --selector app.kubernetes.io/component=controller)" ]
}
refused() { lines_of "$1" | jq -es 'any(.[]; .refused > 0)'; }
records() {
    kubectl get secrets --namespace "$namespace" --field-selector type=apikey-operator.dev/verifier --output name | wc -l
}
records_are() { [ "$(records)" -eq "$1" ]; }

stop_controllers() {
    step "No controller runs"
    local since before
    quietly "a second consumer" consumer doomed
    quietly "its key is ready" kubectl wait --namespace "$consumers" --for=condition=Ready apikey/doomed --timeout=60s
    within 60 "it gets tokens" answered doomed
    before=$(records)
    quietly "scaled to 0" kubectl scale "deployment/$release" --namespace "$namespace" --replicas=0
    within 60 "the controllers are gone" no_controller
    since=$(now)
    quietly "the key is deleted" kubectl delete apikey doomed --namespace "$consumers" --timeout=20s
    passed "kubectl delete apikey returns after $(seconds_since "$since")"
    within 20 "the deleted key is refused" refused doomed
    lines_of doomed >"$work/doomed"
    passed "$(jq -rs --argjson since "$since" '
        ([.[] | select(.problem != null)][0] | .at - $since) as $after
        | "its first refusal comes \($after) ms after the deletion began (by the clock of the node)"' "$work/doomed")"
    quietly "its pod goes" kubectl delete pod doomed --namespace "$consumers"
    undisturbed "the other key gets tokens" "$since"
    quietly "scaled to 2" kubectl scale "deployment/$release" --namespace "$namespace" --replicas=2
    since=$(now)
    within 60 "the operator removes the credential record of the deleted key" records_are $((before - 1))
    passed "the controllers run again: the credential record of the deleted key is gone after $(seconds_since "$since")"
    all_available
}
