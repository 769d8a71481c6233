#!/usr/bin/env bash
# Checks the chart on its own control plane: the rendered objects for each file of ci/, the values that its
# schema refuses, and that the Pod Security Standard "restricted" admits its pods.
# Started by `make chart`, as: controlplane exec -- hack/chart.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. hack/lib.sh

if [ -z "${CONTROLPLANE_DIR:-}" ]; then
    echo "this script runs on its own control plane: make chart" >&2
    exit 2
fi

readonly chart=charts/apikey-operator
readonly namespace=apikey-operator
# Kinds of other projects, which this control plane does not have.
readonly foreign=' Certificate HTTPRoute '
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/debug
work=$CONTROLPLANE_DIR/chart
mkdir "$work"
count=0
trap stop EXIT

passed() {
    count=$((count + 1))
    printf '✓ %s\n' "$1"
}
failed() {
    printf '✗ %s\n' "$1" >&2
    exit 1
}
# check TEXT COMMAND...: checks that the command succeeds.
check() {
    local text=$1
    shift
    "$@" >"$work/output" 2>&1 || failed "$text: failed
$(cat "$work/output")"
    passed "$text"
}
render() { helm template "$namespace" "$chart" --namespace "$namespace" "$@"; }
# refused WORDS OPTION...: checks that helm refuses the options with these words.
refused() {
    local words=$1
    shift
    if render "$@" >"$work/output" 2>&1; then failed "$* is accepted"; fi
    grep -qF -e "$words" "$work/output" || failed "$* is refused without the message: $words
$(cat "$work/output")"
    passed "$* is refused"
}

check "the README and the schema have the values of values.yaml" "$target/xtask" chart-readme --check

# The schema.
refused "'replica' not allowed" --set controller.replica=3
refused "'tokenserver' not allowed" --set tokenserver.replicas=3
refused "'require' not allowed" --set organizations.require=true
refused "/controller/resources" --set controller.resources.limit.memory=1Gi
refused "/tls/certManager/issuerRef" --set tls.certManager.issuerRef.nmae=internal
refused "/networkPolicy/metricsFrom/0" --set-json 'networkPolicy.metricsFrom=[{"namespaceselector":{}}]'
refused "/watchNamespaces/0" --set 'watchNamespaces={Team}'
refused "/watchNamespaces" --set 'watchNamespaces={team,team}'
refused "/image/pullPolicy" --set image.pullPolicy=always
refused "/image/digest" --set image.digest=latest
refused "/signingAlgorithm" --set signingAlgorithm=HS256
refused "/log/format" --set log.format=yaml
refused "/tracing/endpoint" --set tracing.endpoint=collector:4318
refused "/tracing/samplingRatio" --set tracing.samplingRatio=5
refused "'guard' not allowed" --set admission.guard.enabled=false
refused "/admission/roleGrants/validationActions/0" --set 'admission.roleGrants.validationActions={Refuse}'
refused "/admission/roleGrants/validationActions" --set 'admission.roleGrants.validationActions={Deny,Warn}'
refused "/issuerUrl" --set issuerUrl=https://keys.example.com/
refused "/issuerUrl" --set issuerUrl=keys.example.com
for path in //a /a/../b /a%2fb /authz /authz-with/a /.well-known; do
    refused "/issuerUrl" --set "issuerUrl=https://keys.example.com$path"
done
refused "/enabled" --set enabled=yes
refused "/tags" --set tags.keys=1
refused "/tokenServer/maxStaleness" --set tokenServer.maxStaleness=yesterday
refused "/tokenServer/trustedProxies/0" --set 'tokenServer.trustedProxies={everybody}'
refused "/controller/replicas" --set controller.replicas=-1
refused "/controller/argon2/memoryKiB" --set controller.argon2.memoryKiB=4
refused "/tokenServer/service/port" --set tokenServer.service.port=70000
# Rules that a schema can't express.
refused "15 seconds for running requests" --set tokenServer.preStopSleepSeconds=20
refused "needs a host" --set ingress.enabled=true
refused "parentRefs" --set httpRoute.enabled=true
refused "issuerRef.name is missing" --set tls.certManager.enabled=true

# The chart as a dependency, with Helm's conditions and tags.
parent=$work/parent
mkdir "$parent"
cat >"$parent/Chart.yaml" <<END
apiVersion: v2
name: platform
version: 1.0.0
dependencies:
  - name: apikey-operator
    version: $(sed -n 's/^version: //p' "$chart/Chart.yaml")
    repository: file://$PWD/$chart
    condition: apikey-operator.enabled
    tags: [keys]
  - name: apikey-operator
    alias: more
    version: $(sed -n 's/^version: //p' "$chart/Chart.yaml")
    repository: file://$PWD/$chart
    condition: more.enabled
END
cat >"$parent/values.yaml" <<END
global: {imageRegistry: registry.example.com}
tags: {keys: true}
more: {enabled: false}
END
check "a parent chart can depend on the chart" helm dependency update "$parent"
# deployments COUNT OPTION...: checks the number of Deployments that the parent chart renders.
deployments() {
    local count=$1
    shift
    helm template platform "$parent" "$@" >"$work/parent.yaml" || return 1
    [ "$(grep -c '^kind: Deployment$' "$work/parent.yaml")" = "$count" ]
}
check "the parent's defaults enable it" deployments 2
check "enabled: true enables it" deployments 2 --set apikey-operator.enabled=true
check "enabled: false disables it" deployments 0 --set apikey-operator.enabled=false
check "a tag disables it" deployments 0 --set tags.keys=false
check "a condition overrides a tag" deployments 2 --set tags.keys=false,apikey-operator.enabled=true
check "an alias adds a second one" deployments 4 --set more.enabled=true,more.crds.enabled=false
check "the parent may have tags as well as its own values" render --set tags.keys=true,enabled=true
if deployments 2 --set apikey-operator.enable=true 2>"$work/refused"; then failed "a misspelt value of the parent is accepted"; fi
check "a misspelt value of the parent is refused" grep -qF "'enable' not allowed" "$work/refused"

# The rendered objects.
kubectl create namespace "$namespace" >/dev/null
kubectl label namespace "$namespace" pod-security.kubernetes.io/enforce=restricted >/dev/null
arguments() {
    kubectl create --dry-run=client -f "$1" -o json | jq -r '.spec.template.spec.containers[0].args[]'
}
flags() {
    local -a given
    mapfile -t given < <(arguments "$1")
    "$target/apikey-operator" "${given[@]}" --help
}
for values in "$chart"/ci/*-values.yaml; do
    set=$(basename "$values" -values.yaml)
    check "$set: helm lint" helm lint --strict --quiet "$chart" --values "$values"
    render --values "$values" >"$work/$set.yaml"
    render --values "$values" | cmp -s - "$work/$set.yaml" || failed "$set: a second rendering differs"
    mkdir "$work/$set"
    awk -v to="$work/$set" '/^---$/ { n++; next } { print >(to "/" n ".yaml") }' "$work/$set.yaml"
    objects=0
    for file in "$work/$set"/*.yaml; do
        kind=$(sed -n 's/^kind: //p' "$file")
        [ -n "$kind" ] || continue
        case $foreign in
        *" $kind "*)
            echo "  $set: $kind is not checked, because this control plane does not have it"
            continue
            ;;
        esac
        kubectl apply --server-side --dry-run=server --validate=strict --filename "$file" \
            >"$work/output" 2>&1 || failed "$set: the API server refuses $kind
$(cat "$work/output")"
        objects=$((objects + 1))
        if [ "$kind" = Deployment ]; then
            check "$set: the operator accepts the flags of $(sed -n 's/^  name: //p' "$file")" flags "$file"
        fi
    done
    passed "$set: the API server accepts all $objects objects"
done

# Names and addresses of another installation.
long=$(printf 'x%.0s' {1..53})
helm template "$long" "$chart" --namespace "$namespace" --set listenAddress='[::]' >"$work/long.yaml"
# shellcheck disable=SC2016 # awk expands it
check "a long release name makes no name too long" \
    awk '/^  name: / && length($2) > 63 { print; bad = 1 } END { exit bad }' "$work/long.yaml"
check "the address may be IPv6" grep -qF -e '- --token-listen=[::]:8080' "$work/long.yaml"
render --set tls.existingSecret=given,tokenServer.service.port=8443 >"$work/tls.yaml"
check "the issuer is the Service, by its scheme and port" \
    grep -qF -e "- --issuer-url=https://$namespace-token.$namespace.svc:8443" "$work/tls.yaml"
render --set tracing.endpoint=http://collector:4318,networkPolicy.enabled=true >"$work/tracing.yaml"
both_have() { [ "$(grep -cF -e "$1" "$work/tracing.yaml")" = 2 ]; }
check "both processes know the collector of traces" both_have "value: http://collector:4318"
check "both may connect to it" both_have "{port: 4318, protocol: TCP}"
check "a given Secret is mounted" grep -qF 'secretName: given' "$work/tls.yaml"
render --set tokenServer.replicas=0,tokenServer.autoscaling.enabled=true >"$work/none.yaml"
if grep -q '^kind: HorizontalPodAutoscaler' "$work/none.yaml"; then failed "an autoscaler would scale up 0 replicas"; fi
passed "an autoscaler leaves 0 replicas alone"

# The paths for external callers.
paths() {
    render --set ingress.enabled=true,httpRoute.enabled=true,httpRoute.parentRefs[0].name=public "$@" |
        sed -nE 's/^ *- path: (\{type: PathPrefix, value: )?([^}]*)\}?$/\2/p' | sort | uniq -c | awk '{ print $1 $2 }' | xargs
}
has_paths() {
    local wanted=$1
    shift
    [ "$(paths "$@")" = "$wanted" ]
}
check "external callers reach all paths except /authz, through Ingress and HTTPRoute" has_paths \
    "2/.well-known 2/auth/v1/api-key 2/oauth2 2/openapi.json" --set issuerUrl=https://a.example
check "they also reach the paths below the path of the issuer" has_paths \
    "2/.well-known 2/auth/v1/api-key 2/b/keys/.well-known 2/b/keys/auth/v1/api-key 2/b/keys/oauth2 2/b/keys/openapi.json 2/oauth2 2/openapi.json" \
    --set issuerUrl=https://a.example/b/keys
check "given paths are used unchanged" has_paths "1/x 1/y" \
    --set issuerUrl=https://a.example/b,'ingress.paths={/x},httpRoute.paths={/y}'
render --set issuerUrl=https://a.example:8443/b/keys,ingress.enabled=true >"$work/below.yaml"
check "the host of the Ingress is that of the issuer" grep -qF -e '- host: "a.example"' "$work/below.yaml"

# On the cluster without nodes, pods are created and wait for a node.
helm install "$namespace" "$chart" --namespace "$namespace" --set organizations.required=false >"$work/notes"
check "the notes warn of undeclared organizations" grep -q '^WARNING: organizations.required' "$work/notes"
pods() { [ "$(kubectl get pods --namespace "$namespace" --no-headers 2>/dev/null | wc -l)" -eq "$1" ]; }
within() {
    local text=$1 end=$((SECONDS + 30))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || failed "$text: not within 30 s
$(kubectl get events --namespace "$namespace")"
        sleep 0.2
    done
    passed "$text"
}
within "the standard \"restricted\" admits two pods of each" pods 4
check "a release without pods is ready at once" helm upgrade "$namespace" "$chart" --namespace "$namespace" --wait \
    --set controller.replicas=0 --set tokenServer.replicas=0
within "the pods go" pods 0
if helm get notes "$namespace" --namespace "$namespace" | grep WARNING; then failed "the notes warn without a cause"; fi
check "helm uninstalls the release" helm uninstall "$namespace" --namespace "$namespace" --wait

# The number of pods with an autoscaler.
readonly deployment=$namespace-token
upgrade() { helm upgrade "$namespace" "$chart" --install --namespace "$namespace" --set controller.replicas=0 "$@"; }
replicas() { [ "$(kubectl get deployment "$deployment" --namespace "$namespace" -o jsonpath='{.spec.replicas}')" = "$1" ]; }
scale() { kubectl scale deployment "$deployment" --namespace "$namespace" --replicas "$1"; }
# counted TEXT NUMBER...: checks that these were the numbers of pods since the watch began, in this order.
counted() {
    local text=$1
    shift
    within "$text" replicas "${*: -1}"
    [ "$(uniq "$work/replicas" | xargs)" = "$*" ] || failed "$text: $(uniq "$work/replicas" | xargs)"
}
for way in true false; do
    scaled=(--server-side="$way" --set tokenServer.autoscaling.enabled=true)
    check "five pods without an autoscaler (server-side=$way)" upgrade --server-side="$way" --set tokenServer.replicas=5
    kubectl get deployment "$deployment" --namespace "$namespace" --watch \
        -o jsonpath='{.spec.replicas}{"\n"}' >"$work/replicas" &
    running+=($!)
    check "an upgrade with an autoscaler" upgrade "${scaled[@]}"
    counted "five stay" 5
    check "the autoscaler adds pods" scale 7
    check "an upgrade" upgrade "${scaled[@]}" --set log.level=debug
    check "another upgrade" upgrade "${scaled[@]}"
    counted "seven stay" 5 7
    force=()
    [ "$way" = false ] || force=(--force-conflicts)
    check "an upgrade to 0 replicas" upgrade "${scaled[@]}" --set tokenServer.replicas=0 "${force[@]}"
    counted "no pod is left" 5 7 0
    check "an upgrade with replicas" upgrade "${scaled[@]}"
    within "there is one pod" replicas 1
    stop
    check "helm uninstalls the release" helm uninstall "$namespace" --namespace "$namespace" --wait
    check "with an autoscaler from the start" upgrade "${scaled[@]}"
    within "there is one pod" replicas 1
    check "the autoscaler adds pods" scale 6
    check "an upgrade" upgrade "${scaled[@]}" --set log.level=debug
    check "six stay" replicas 6
    check "helm uninstalls the release" helm uninstall "$namespace" --namespace "$namespace" --wait
done
check "the definitions stay" kubectl get crd apikeys.apikey-operator.dev organizations.apikey-operator.dev

printf '%d passed, 0 failed\n' "$count"
