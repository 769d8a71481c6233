#!/usr/bin/env bash
# Keys from Git by a real Flux: its kustomize-controller applies folders to a real control plane, and each
# claim of docs/gitops.md about Flux is checked.
# Started by `make flux`, as: controlplane exec -- hack/flux.sh
#
# The source-controller is played: a commit is an archive on 127.0.0.1 and a status of the GitRepository.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -z "${CONTROLPLANE_DIR:-}" ]; then
    echo "this script runs on a control plane of its own: make flux" >&2
    exit 2
fi

readonly namespace=apikey-operator
readonly interval=2 # seconds between two looks of Flux
readonly limit=40   # seconds that a step may take
readonly rotate=apikey-operator.dev/rotate-requested-at
readonly discard=apikey-operator.dev/discard-previous
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/debug
flux=$(tests/flux/build.sh --print-dir)
PATH=$target:$PATH # kubectl finds its plugin there
work=$CONTROLPLANE_DIR/flux
git=$work/git www=$work/www
mkdir -p "$git" "$www"
log=$work/kustomize-controller.log
operator='' token_server='' controller='' server=''
checks=0
SECONDS=0

step() { printf '\n%s\n' "$1"; }
passed() {
    checks=$((checks + 1))
    printf '  ok    %s\n' "$1"
}
failed() {
    printf '  NOT   %s\n' "$1" >&2
    exit 1
}
# check TEXT COMMAND...: the command succeeds.
check() {
    local text=$1
    shift
    "$@" >"$work/output" 2>&1 || failed "$text: $(cat "$work/output")"
    passed "$text"
}
# await COMMAND...: it succeeds before the limit.
await() {
    local end=$((SECONDS + limit))
    until "$@" >"$work/output" 2>&1; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}
# within TEXT COMMAND...: a check of what needs a moment.
within() {
    local text=$1
    shift
    await "$@" || failed "$text: not within $limit s: $(cat "$work/output")"
    passed "$text"
}
# need COMMAND...: what a check builds on, before the limit.
need() { await "$@" || failed "not within $limit s: $*: $(cat "$work/output")"; }

end() {
    if [ -n "$1" ] && kill "$1" 2>/dev/null; then wait "$1" || :; fi
}
finish() {
    local status=$? file
    trap - EXIT
    for process in "$controller" "$server" "$token_server" "$operator"; do end "$process"; done
    if [ "$status" -ne 0 ]; then
        for file in "$log" "$work/operator.log"; do
            [ -s "$file" ] || continue
            printf '\nthe end of %s:\n' "${file##*/}" >&2
            tail -n 10 "$file" >&2
        done
    fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
trap 'failed "line $LINENO: $BASH_COMMAND"' ERR

# Keys.
field() { kubectl get "$1" "$2" -o jsonpath="$3"; }
is() { [ "$(field apikey "$1" "$2")" = "$3" ]; }
suspended() { is "$1" '{.spec.suspended}' "$2"; }
unsuspended() { ! suspended "$1" true; }
annotation() { kubectl get apikey "$1" -o json | jq -r --arg name "$2" '.metadata.annotations[$name] // ""'; }
uid() { field apikey "$1" '{.metadata.uid}'; }
revision() { is "$1" '{.status.revision}' "$2"; }
ready() { kubectl wait --for=condition=Ready "apikey/$1" --timeout="${limit}s"; }
gone() { [ -z "$(kubectl get apikey "$1" --ignore-not-found -o name)" ]; }
roles() { is "$1" '{.spec.roles}' "$2"; }
managers() { kubectl get apikey "$1" -o json --show-managed-fields | jq -r '.metadata.managedFields[].manager'; }
secret_of() { kubectl get secret "$1" -o go-template='{{.data.secret | base64decode}}'; }
utc() { date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r "$1" +%Y-%m-%dT%H:%M:%SZ; }
# token NAME SECRET CODE: the answer of the token endpoint.
token() {
    [ "$(curl --silent --max-time 5 --output /dev/null --write-out '%{http_code}' \
        "http://$address/auth/v1/api-key/token" --data-urlencode "name=$1" \
        --data-urlencode "secret@-" <<<"$2")" = "$3" ]
}

# Git. key REPO NAME [SPEC [METADATA]]: the file of a key.
key() {
    mkdir -p "$git/$1"
    cat >"$git/$1/$2.yaml" <<END
apiVersion: apikey-operator.dev/v1alpha1
kind: ApiKey
metadata: {name: $2, namespace: default${4:+, $4}}
spec: {org: acme, ${3:-roles: [viewer]}}
END
}
commits=0
# commit REPO: what is in the folder becomes the newest revision.
commit() {
    commits=$((commits + 1))
    local archive=$1-$commits.tar.gz sum
    tar -czf "$www/$archive" -C "$git/$1" .
    sum=$(cksum_of "$www/$archive")
    jq -n --arg url "http://127.0.0.1:$port/$archive" --arg path "$archive" --arg sum "$sum" \
        --arg revision "main@sha1:$commits" --arg time "$(utc "$(date +%s)")" \
        '{status: {artifact: {$url, $path, $revision, digest: "sha256:\($sum)", lastUpdateTime: $time}}}' >"$work/status"
    kubectl patch gitrepository "$1" --subresource=status --type=merge --patch-file "$work/status" >/dev/null
}
cksum_of() {
    if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}
# follow REPO [SPEC]: Flux applies the folder from now on, with this besides.
follow() {
    kubectl apply -f - >/dev/null <<END
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: $1, namespace: default}
spec: {interval: 1h, url: "https://git.example.com/$1.git"}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: $1, namespace: default}
spec: {interval: ${every:-${interval}s}, retryInterval: ${interval}s, timeout: 10s, prune: true, wait: true,
  sourceRef: {kind: GitRepository, name: $1}${2:+, $2}}
END
    commit "$1"
}
applied() { [ "$(field kustomization "$1" '{.status.lastAppliedRevision}')" = "main@sha1:$commits" ] && health "$1" True; }
attempted() { [ "$(field kustomization "$1" '{.status.lastAttemptedRevision}')" = "main@sha1:$commits" ]; }
health() { [ "$(field kustomization "$1" '{.status.conditions[?(@.type=="Ready")].status}')" = "$2" ]; }
said() { field kustomization "$1" '{.status.conditions[?(@.type=="Ready")].message}'; }
says() { said "$1" | grep -qiF -- "$2"; }
looks() {
    jq -rR --arg name "$1" 'fromjson? | select(.Kustomization.name == $name and
        (.msg | test("^Reconciliation (finished|failed)"))) | 1' "$log" | wc -l
}
more_looks() { [ "$(looks "$1")" -ge "$2" ]; }
# later REPO: after three more whole intervals; the look that runs now is one more.
later() { need more_looks "$1" $(($(looks "$1") + 4)); }
# changes KIND/NAME: how often Flux found that the object is not as it is in Git.
changes() { grep -c "\"$1\":\"configured\"" "$log" || :; }

start_operator() {
    KUBECONFIG=$work/operator.kubeconfig "$target/apikey-operator" controller \
        --namespace "$namespace" --leader-elect=false --admin-listen 127.0.0.1:0 \
        >>"$work/operator.audit" 2>>"$work/operator.log" &
    operator=$!
}
stop_operator() {
    end "$operator"
    operator=
}

step "Flux $(basename "$flux"), looking every $interval s"
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
# As nobody: whoever reaches the archives reaches nothing else.
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

step "A key that was made by hand"
kubectl apikey create adopted --org acme --role viewer,builder --description 'by hand' >/dev/null 2>&1
need ready adopted
before=$(uid adopted) secret=$(secret_of adopted)
key adopted adopted
follow adopted
within "is adopted when it comes into Git" applied adopted
check "it is the same key, with the same secret" \
    test "$(uid adopted) $(secret_of adopted)" = "$before $secret"
check "what Git does not say of it is gone: a description, a role" \
    test "$(field apikey adopted '{.spec.description}{.spec.roles}')" = '["viewer"]'
no_plugin() { ! managers adopted | grep -q '^kubectl'; }
check "nothing of it is held by kubectl any more" no_plugin

step "What the plugin does to a key of Git"
need token adopted "$secret" 200
kubectl apikey suspend adopted >/dev/null 2>&1
later adopted
check "suspend: after three intervals it is suspended" suspended adopted true
check "its secret gets no token" token adopted "$secret" 401
kubectl apikey resume adopted >/dev/null 2>&1
later adopted
check "resume: after three intervals it is in service" suspended adopted false
within "its secret gets a token" token adopted "$secret" 200
stop_operator
kubectl apikey rotate adopted --wait=false >/dev/null 2>&1
later adopted
check "rotate, with the operator down: after three intervals the request is there" \
    test -n "$(annotation adopted $rotate)"
start_operator
within "and is answered when the operator is back" revision adopted 2
stop_operator
kubectl apikey discard-previous adopted --yes --wait=false >/dev/null 2>&1
later adopted
check "discard-previous, with the operator down: after three intervals the request is there" \
    test "$(annotation adopted $discard)" = 1
start_operator
discarded() { is adopted '{.status.previousSecret}' ''; }
within "and is answered when the operator is back" discarded
kubectl apikey roles add adopted builder >/dev/null 2>&1
within "roles add: is taken back" roles adopted '["viewer"]'
kubectl patch apikey adopted --field-manager=kubectl-apikey --type=merge -p '{"spec":{"suspended":true}}' >/dev/null
within "suspend of an earlier version of the plugin: is undone" unsuspended adopted
kubectl patch apikey adopted --field-manager=kubectl-apikey --type=merge -p '{"spec":{"suspended":true}}' >/dev/null
kubectl apikey suspend adopted >/dev/null 2>&1
later adopted
check "suspend once more, by this version: lasts" suspended adopted true
kubectl patch apikey adopted --field-manager=kubectl-apikey --type=merge -p '{"spec":{"suspended":false}}' >/dev/null
kubectl patch apikey adopted --field-manager=kubectl-apikey --type=merge -p '{"spec":{"suspended":true}}' >/dev/null
kubectl apikey resume adopted >/dev/null 2>&1
later adopted
check "resume after a suspend of an earlier version: lasts" unsuspended adopted

printf '\n%d checks passed in %d s\n' "$checks" "$SECONDS"
