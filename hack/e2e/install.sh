# shellcheck shell=bash
# helm install, and checks of the pods.

# Options of helm for the image with tag $1.
image_options() {
    echo --set "image.registry=,image.repository=${IMAGE_PREFIX}apikey-operator,image.tag=$1"
}
# helm_release VERB CHART TAG OPTION...
helm_release() {
    local verb=$1 chart=$2 image
    read -ra image <<<"$(image_options "$3")"
    shift 3
    helm "$verb" "$release" "$chart" --namespace "$namespace" --wait --timeout 3m \
        "${image[@]}" "$@"
}
make_namespace() {
    quietly "namespace $namespace" kubectl create namespace "$namespace"
    quietly "label for the restricted Pod Security Standard" kubectl label namespace "$namespace" pod-security.kubernetes.io/enforce=restricted
}

install_current() {
    step "helm install --wait"
    local began
    make_namespace
    began=$(now)
    quietly "helm install" helm_release install charts/apikey-operator "$tag"
    passed "installed after $(seconds_since "$began")"
}

pods() { kubectl get pods --namespace "$namespace" --output json; }
# all_pods TEXT FILTER: checks that the filter holds for each pod.
all_pods() {
    pods >"$work/pods.json"
    jq -e "[.items[] | select(.metadata.deletionTimestamp == null)] | length == 4 and all(.[]; $2)" \
        "$work/pods.json" >"$work/output" || failed "$1: not for each of 4 pods
$(jq -c '.items[] | [.metadata.name, .status.phase, .spec.securityContext, .spec.containers[0].securityContext]' "$work/pods.json")"
    passed "$1"
}
deployments() { printf '%s\n' "$release" "$release-token"; }

look_at_pods() {
    step "The pods"
    all_pods "two controllers and two token servers are Ready" \
        'any(.status.conditions[]; .type == "Ready" and .status == "True")'
    all_pods "no pod was restarted" '.status.containerStatuses[0].restartCount == 0'
    all_pods "each must run as nonroot, with a read-only root, no capability and no new privileges" '
        .spec.securityContext.runAsNonRoot and .spec.securityContext.runAsUser == 65532
        and .spec.securityContext.seccompProfile.type == "RuntimeDefault"
        and (.spec.containers[0].securityContext
             | .readOnlyRootFilesystem and .allowPrivilegeEscalation == false and .capabilities.drop == ["ALL"])'
    # Some container runtimes do not report the user.
    if jq -e 'all(.items[]; .status.containerStatuses[0].user.linux != null)' "$work/pods.json" >/dev/null; then
        all_pods "the kubelet reports that each runs as 65532" '.status.containerStatuses[0].user.linux.uid == 65532'
    else
        note "this container runtime does not report users"
    fi
    local pod output
    for pod in $(jq -r '.items[] | select(.metadata.deletionTimestamp == null).metadata.name' "$work/pods.json"); do
        # The image has no shell, so the operator's own command writes a file.
        if output=$(kubectl exec --namespace "$namespace" "$pod" -- /apikey-operator crds --out /tmp/written 2>&1); then
            failed "$pod can write to its root"
        fi
        [[ $output == *"Read-only file system"* ]] || failed "$pod: writing fails with another error: $output"
    done
    passed "none of them can write to its root: Read-only file system"
    check "kubectl apikey check finds no problem" "$work/kubectl-apikey" check --operator-namespace "$namespace" --wait 30s
    sed 's/^/  /' "$work/output"
}
