#!/usr/bin/env bash
# Tests keys from Git with a real Flux. Its kustomize-controller applies folders to a real control plane, and the
# script checks each claim of docs/gitops.md about Flux.
# Started by `make flux`, as: controlplane exec -- hack/flux.sh
#
# The script replaces the source-controller: a commit is an archive on 127.0.0.1 and a status of the GitRepository.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -z "${CONTROLPLANE_DIR:-}" ]; then
    echo "this script runs on its own control plane: make flux" >&2
    exit 2
fi

. hack/lib.sh
# shellcheck source=hack/flux-lib.sh
. hack/flux-lib.sh
flux=$(tests/flux/build.sh --print-dir)
readonly rotate=apikey-operator.dev/rotate-requested-at
readonly discard=apikey-operator.dev/discard-previous

step "Flux $(basename "$flux"), with an interval of $interval s"
helm install "$namespace" charts/apikey-operator --namespace "$namespace" --create-namespace --wait --hide-notes \
    --set controller.replicas=0 --set tokenServer.replicas=0 >/dev/null
for account in operator:$namespace token:$namespace-token; do
    "$target/controlplane" service-account-kubeconfig "$namespace" "${account#*:}" \
        --out "$work/${account%%:*}.kubeconfig" >/dev/null
done
start_operator
KUBECONFIG=$work/token.kubeconfig "$target/apikey-operator" token-server --namespace "$namespace" \
    --token-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 >"$work/token.audit" 2>"$work/token.log" &
token_server=$!
# The proxy serves the archives without credentials, so that its callers can't reach the API server.
printf '%s\n' 'apiVersion: v1' 'kind: Config' 'current-context: none' \
    'clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]' \
    'contexts: [{name: none, context: {cluster: none}}]' >"$work/nobody.kubeconfig"
KUBECONFIG=$work/nobody.kubeconfig kubectl proxy --port=0 --www="$www" --www-prefix=/ --api-prefix=/none/ \
    >"$work/www.log" 2>&1 &
server=$!
serves() { port=$(sed -n 's/^Starting to serve on 127.0.0.1:\([0-9]*\)$/\1/p' "$work/www.log") && [ -n "$port" ]; }
need serves
issues() { address=$(sed -n 's/.*Serving tokens.*address=\([0-9.:]*\).*/\1/p' "$work/token.log") && [ -n "$address" ]; }
need issues
kubectl apply --server-side -f "$flux" >/dev/null
kubectl wait --for=condition=Established --timeout="${limit}s" crd --all >/dev/null
"$flux/kustomize-controller" --metrics-addr=0 --health-addr=0 --events-addr= --log-encoding=json \
    --requeue-dependency="${interval}s" >"$log" 2>&1 &
controller=$!
mkdir -p "$git/organizations"
cat >"$git/organizations/acme.yaml" <<END
apiVersion: apikey-operator.dev/v1alpha1
kind: Organization
metadata: {name: acme}
spec: {allowedNamespaces: {from: All}, roles: [{key: viewer}, {key: builder}]}
END
follow organizations
within "an Organization from Git is healthy" applied organizations

leave organizations

step "A key that was created by hand"
kubectl apikey create adopted --org acme --role viewer,builder --description 'by hand' >/dev/null 2>&1
need ready adopted
before=$(uid adopted) secret=$(secret_of adopted)
key adopted adopted
follow adopted
within "Flux adopts the key when it is added to Git" applied adopted
check "it is the same key, with the same secret" \
    test "$(uid adopted) $(secret_of adopted)" = "$before $secret"
check "fields that are not in Git are gone: a description, a role" \
    test "$(field apikey adopted '{.spec.description}{.spec.roles}')" = '["viewer"]'
no_plugin() { ! managers adopted | grep -q '^kubectl'; }
check "kubectl manages no field any more" no_plugin

step "Changes by the plugin to a key in Git"
need token adopted "$secret" 200
kubectl apikey suspend adopted >/dev/null 2>&1
later adopted
check "suspend: after three intervals it is suspended" suspended adopted true
check "its secret gets no token" token adopted "$secret" 401
kubectl apikey resume adopted >/dev/null 2>&1
later adopted
check "resume: after three intervals it is active" suspended adopted false
within "its secret gets a token" token adopted "$secret" 200
stop_operator
kubectl apikey rotate adopted --wait=false >/dev/null 2>&1
later adopted
check "rotate, with the operator down: after three intervals the request still exists" \
    test -n "$(annotation adopted $rotate)"
start_operator
within "the operator answers it after its start" revision adopted 2
stop_operator
kubectl apikey discard-previous adopted --yes --wait=false >/dev/null 2>&1
later adopted
check "discard-previous, with the operator down: after three intervals the request still exists" \
    test "$(annotation adopted $discard)" = 1
start_operator
discarded() { is adopted '{.status.previousSecret}' ''; }
within "the operator answers it after its start" discarded
kubectl apikey roles add adopted builder >/dev/null 2>&1
within "roles add: Flux reverts it" roles adopted '["viewer"]'
kubectl patch apikey adopted --field-manager=kubectl-apikey --type=merge -p '{"spec":{"suspended":true}}' >/dev/null
within "suspend of an earlier version of the plugin: Flux reverts it" unsuspended adopted
kubectl patch apikey adopted --field-manager=kubectl-apikey --type=merge -p '{"spec":{"suspended":true}}' >/dev/null
kubectl apikey suspend adopted >/dev/null 2>&1
later adopted
check "suspend again, with this version: it stays" suspended adopted true
kubectl patch apikey adopted --field-manager=kubectl-apikey --type=merge -p '{"spec":{"suspended":false}}' >/dev/null
kubectl patch apikey adopted --field-manager=kubectl-apikey --type=merge -p '{"spec":{"suspended":true}}' >/dev/null
kubectl apikey resume adopted >/dev/null 2>&1
later adopted
check "resume after a suspend of an earlier version: it stays" unsuspended adopted

kubectl apikey suspend adopted >/dev/null 2>&1
for spec in 'suspended: true, roles: [viewer]' ''; do
    key adopted adopted "$spec"
    commit adopted
    need applied adopted
done
check "suspended: true added to the file and removed again: a suspension by hand stays" suspended adopted true
key adopted adopted 'suspended: false, roles: [viewer]'
commit adopted
need applied adopted
check "suspended: false in the file: Flux ends the suspension" suspended adopted false
key adopted adopted
commit adopted
need applied adopted

step "Changes by hand to a key in Git"
kubectl patch apikey adopted --type=merge -p '{"spec":{"suspended":true}}' >/dev/null
within "plain kubectl patch: Flux reverts it" unsuspended adopted
undescribed() { is adopted '{.spec.description}' ''; }
# shellcheck disable=SC2016 # the editor expands them
printf '%s\n' '#!/bin/sh' 'sed "s/^spec:/&\n  description: by hand/" "$1" >"$1.new" && mv "$1.new" "$1"' >"$work/editor"
chmod +x "$work/editor"
KUBE_EDITOR=$work/editor kubectl edit apikey adopted >"$work/output"
grep -q 'adopted edited' "$work/output"
within "kubectl edit: Flux reverts it" undescribed
sed 's/^spec: {/&description: by hand, /' "$git/adopted/adopted.yaml" >"$work/adopted.yaml"
kubectl apply -f "$work/adopted.yaml" >"$work/output" 2>&1
grep -q 'adopted configured' "$work/output"
within "kubectl apply: Flux reverts it" undescribed
kubectl patch apikey adopted --field-manager=oncall --type=merge -p '{"spec":{"suspended":true}}' >/dev/null
later adopted
check "kubectl patch --field-manager=oncall: it stays" suspended adopted true
kubectl apikey resume adopted >/dev/null 2>&1
stop_operator
kubectl annotate apikey adopted "$rotate=by hand" --overwrite >/dev/null
lost() { [ "$(annotation adopted $rotate)" != "by hand" ]; }
within "kubectl annotate, with the operator down: the request is lost" lost
start_operator
key adopted adopted 'suspended: false, roles: [viewer]' "annotations: {$rotate: from Git}"
commit adopted
need applied adopted
need revision adopted 3
kubectl apikey suspend adopted >/dev/null 2>&1
within "with suspended: false in the file: Flux reverts a suspend" unsuspended adopted
kubectl apikey rotate adopted --overlap 0 >/dev/null 2>&1
of_git() { [ "$(annotation adopted $rotate)" = "from Git" ]; }
within "with a request in the file: Flux restores it after a rotation by hand" of_git
later adopted
check "no rotation follows: the revision is that of the rotation by hand" revision adopted 4
key adopted adopted '' 'annotations: {kustomize.toolkit.fluxcd.io/ssa: Merge}'
commit adopted
need applied adopted
kubectl patch apikey adopted --type=merge -p '{"spec":{"suspended":true,"description":"by hand"}}' >/dev/null
kubectl apikey roles add adopted builder >/dev/null 2>&1
later adopted
check "with ssa: Merge: additions by kubectl stay, roles included" \
    test "$(field apikey adopted '{.spec.suspended}{.spec.description}{.spec.roles}')" = 'trueby hand["viewer","builder"]'
kubectl apikey roles set adopted builder >/dev/null 2>&1
both() { [ "$(field apikey adopted '{.spec.roles}' | jq -c sort)" = '["builder","viewer"]' ]; }
within "Flux restores the values of the file" both

leave adopted

step "Changes by the operator to a key in Git"
key quiet quiet 'roles: [viewer], rotation: {overlapSeconds: 0}'
follow quiet
need applied quiet
kubectl apikey rotate quiet >/dev/null 2>&1
kubectl delete secret quiet >/dev/null
need revision quiet 3
kubectl apikey suspend quiet >/dev/null 2>&1
kubectl apikey resume quiet >/dev/null 2>&1
later quiet
check "a rotation, a replaced Secret, a suspension and its end: Flux never sees a difference" \
    test "$(changes ApiKey/default/quiet)" = 0
kubectl apikey roles add quiet builder >/dev/null 2>&1
noticed() { [ "$(changes ApiKey/default/quiet)" -gt 0 ]; }
within "Flux sees a role that somebody adds as a difference" noticed
leave quiet

step "A key that is removed from Git"
key pruned pruned
key pruned stays
follow pruned
need applied pruned
need ready pruned
secret=$(secret_of pruned)
need token pruned "$secret" 200
kubectl apikey revoke pruned --yes >/dev/null 2>&1
need ready pruned
check "revoke, with the file still in Git: Flux creates another key, with another secret" \
    test "$(secret_of pruned)" != "$secret"
check "the revoked secret gets no token" token pruned "$secret" 401
secret=$(secret_of pruned)
need token pruned "$secret" 200
rm "$git/pruned/pruned.yaml"
commit pruned
within "without its file: Flux prunes the key" gone pruned
within "its secret gets no token" token pruned "$secret" 401
check "the other key of the folder stays" ready stays
leave pruned

step "A folder with an object that the API server refuses"
key mixed removed
key mixed changed
key mixed broken
follow mixed
need applied mixed
for name in removed changed broken; do need ready $name; done
secret=$(secret_of removed)
need token removed "$secret" 200
before=$(uid broken)
rm "$git/mixed/removed.yaml"
key mixed changed 'roles: [builder]'
key mixed broken 'roles: []'
commit mixed
need attempted mixed
later mixed
check "the Kustomization is not ready" health mixed False
printf '        Flux says: %s\n' "$(ready_message mixed)"
check "its message names the object and the cause" message_has mixed 'ApiKey/default/broken'
check "a changed file is not applied" roles changed '["viewer"]'
check "a removed file is not pruned: the key gets tokens" token removed "$secret" 200
check "the refused key is unchanged" test "$(uid broken)" = "$before"
kubectl apikey revoke removed --yes >/dev/null 2>&1
within "revoke with the plugin: its secret gets no token" token removed "$secret" 401
later mixed
check "Flux does not create it again" gone removed
key mixed broken
commit mixed
within "without the invalid object: Flux applies the folder" applied mixed
check "with the earlier change" roles changed '["builder"]'
leave mixed

step "A key that expires"
end=$(($(date +%s) + 12))
key expiring expiring "roles: [viewer], expiry: \"$(utc $end)\""
every=1h follow expiring
need applied expiring
mkdir -p "$git/lenient"
key lenient lenient "roles: [viewer], expiry: \"$(utc $end)\""
follow lenient 'healthCheckExprs: [{apiVersion: apikey-operator.dev/v1alpha1, kind: ApiKey,
  inProgress: "has(metadata.deletionTimestamp) || status.conditions.exists(c, c.type == '"'Reconciling'"' && c.status == '"'True'"')",
  failed: "status.conditions.exists(c, c.type == '"'Stalled'"' && c.status == '"'True'"') && status.phase != '"'Expired'"'",
  current: "status.conditions.exists(c, c.type == '"'Ready'"' && c.status == '"'True'"') || status.phase == '"'Expired'"'"}]'
need applied lenient
expired() { is "$1" '{.status.phase}' Expired; }
need expired expiring
check "at its expiry the Kustomization is still ready" health expiring True
kubectl annotate kustomization expiring reconcile.fluxcd.io/requestedAt=now >/dev/null
within "after the next reconcile it is not ready" health expiring False
printf '        Flux says: %s\n' "$(ready_message expiring)"
silent() { ! message_has expiring expired; }
check "Flux does not report the cause" silent
wide() { kubectl get apikeys expiring -o wide | grep -F Expired; }
check "kubectl get apikeys -o wide reports it" wide
need expired lenient
later lenient
check "healthCheckExprs that let an expired key pass: its Kustomization is ready" health lenient True
leave lenient
leave expiring

step "A rotation by commit"
key rotated rotated
follow rotated
need applied rotated
stop_operator
key rotated rotated '' "annotations: {$rotate: \"a laptop was lost\"}"
commit rotated
within "Flux does not wait for it: the Kustomization is ready with the operator down" applied rotated
check "the secret is the old one" revision rotated 1
start_operator
within "the operator answers it" revision rotated 2
later rotated
check "it does so once, although Flux applies the file again" revision rotated 2
leave rotated

step "force: true"
key forced immutable "roles: [viewer], expiry: \"$(days 100)\""
key forced invalid
follow forced 'force: true'
need applied forced
for name in immutable invalid; do need ready $name; done
before=$(uid immutable) secret=$(secret_of invalid)
need token invalid "$secret" 200
key forced immutable "roles: [viewer], expiry: \"$(days 200)\""
commit forced
within "another expiry: Flux deletes the key and creates another" applied forced
check "the new key has another uid" test "$(uid immutable)" != "$before"
key forced invalid 'roles: []'
commit forced
within "an invalid spec: Flux deletes the key" gone invalid
within "its secret gets no token" token invalid "$secret" 401
later forced
check "Flux creates no key in its place" gone invalid

printf '\n%d checks passed in %d s\n' "$checks" "$SECONDS"
