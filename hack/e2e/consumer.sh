# shellcheck shell=bash
# Pods that use a key like a tenant: they mount the delivered Secret, and request tokens from the
# Service by its DNS name.

# consumer NAME: creates a key and a pod that requests tokens with it every 50 ms.
consumer() {
    kubectl apply --namespace "$consumers" --filename - <<END
apiVersion: apikey-operator.dev/v1alpha1
kind: ApiKey
metadata: {name: $1}
spec: {org: e2e, roles: [caller]}
---
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: token-client}}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 5
  securityContext:
    {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: client
      image: ${IMAGE_PREFIX}token-client:$tag
      imagePullPolicy: IfNotPresent
      args: [/key, "50"]
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: key, mountPath: /key, readOnly: true}]
  volumes: [{name: key, secret: {secretName: $1, defaultMode: 0440}}]
END
}
# lines_of NAME: the log lines of the pod.
lines_of() { kubectl logs --namespace "$consumers" "$1"; }
# reported NAME MOMENT: checks that the pod has printed counts since then.
reported() { lines_of "$1" | jq -es --argjson moment "$2" 'any(.[]; .asked != null and .at > $moment)'; }
answered() { lines_of "$1" | jq -es 'any(.[]; .answered > 0)'; }

start_consumer() {
    step "A consumer"
    quietly "namespace $consumers" kubectl create namespace "$consumers"
    quietly "label for the restricted Pod Security Standard" kubectl label namespace "$consumers" pod-security.kubernetes.io/enforce=restricted
    quietly "Organization e2e" kubectl apply --filename - <<END
apiVersion: apikey-operator.dev/v1alpha1
kind: Organization
metadata: {name: e2e}
spec:
  roles: [{key: caller}]
  allowedNamespaces: {from: Names, names: [$consumers]}
END
    quietly "key and pod" consumer steady
    check "the key is ready" kubectl wait --namespace "$consumers" --for=condition=Ready apikey/steady --timeout=60s
    within 60 "the pod gets a token" answered steady
    passed "a pod gets a token with its mounted Secret, at $(kubectl get secret steady --namespace "$consumers" \
        --output jsonpath='{.data.token-url}' | base64 -d)"
}

# undisturbed TEXT SINCE: checks that no request of the pod "steady" was refused or lost from SINCE
# (milliseconds) until now.
undisturbed() {
    local text=$1 since=$2 until numbers
    until=$(now)
    within 30 "the consumer prints counts" reported steady "$until"
    lines_of steady >"$work/lines"
    numbers=$(jq -rs --argjson since "$since" --argjson until "$until" '
        map(select(.asked != null and .at > $since)) as $all
        | ([$all[] | select(.at > $until)][0].at) as $last
        | [$all[] | select(.at <= $last)]
        | "asked \(map(.asked) | add), answered \(map(.answered) | add), refused \(map(.refused) | add), failed \(map(.failed) | add), slowest \((map(.slowestMicros) | max / 1000 | round)) ms"
        ' "$work/lines")
    [[ $numbers == *"refused 0, failed 0,"* ]] || failed "$text: $numbers
$(jq -r --argjson since "$since" 'select(.problem != null and .at > $since) | "\(.at) \(.way): \(.problem)"' "$work/lines" | head -n 20)"
    passed "$text: $numbers"
}
