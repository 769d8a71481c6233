#!/usr/bin/env bash
# Shows the life of API keys on a real control plane, and checks every step.
# Started by `make demo`, as: controlplane exec -- hack/demo.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. hack/lib.sh

if [ -z "${CONTROLPLANE_DIR:-}" ]; then
    echo "this script runs on its own control plane: make demo" >&2
    exit 2
fi

readonly namespace=apikey-operator
readonly limit=60 # seconds that a step may take
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/debug
PATH=$target:$PATH # kubectl finds its plugin there
work=$CONTROLPLANE_DIR/demo
mkdir "$work"
audit=$work/audit log=$work/log
token_audit=$work/token.audit token_log=$work/token.log
operator=
token_server=
checks=0
SECONDS=0

bold='' dim='' green='' red='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi

# Output.
step() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
show() {
    printf '%s$ %s%s\n' "$dim" "$*" "$plain"
    "$@" 2>&1 | sed 's/^/  /'
}
passed() {
    checks=$((checks + 1))
    printf '%s✓ %s%s\n' "$green" "$1" "$plain"
}
failed() {
    printf '%s✗ %s%s\n' "$red" "$1" "$plain" >&2
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
# within TEXT COMMAND...: checks that the command succeeds before the limit.
within() {
    local text=$1 end=$((SECONDS + limit))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || failed "$text: not within $limit s"
        sleep 0.05
    done
    passed "$text"
}

# refused WORDS COMMAND...: checks that the command fails with these words.
refused() {
    local words=$1 output
    shift
    printf '%s$ %s%s\n' "$dim" "$*" "$plain"
    if output=$("$@" 2>&1); then failed "the API server accepted it: $output"; fi
    printf '%s\n' "$output" | sed 's/^/  /'
    case $output in
    *"$words"*) passed "refused" ;;
    *) failed "refused, and the message lacks: $words" ;;
    esac
}

field() { kubectl get "$1" "$2" -o jsonpath="$3"; }
secret_value() { kubectl get secret "$1" -o go-template='{{.data.secret | base64decode}}'; }
utc() { date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r "$1" +%Y-%m-%dT%H:%M:%SZ; }
event() {
    kubectl get events.v1.events.k8s.io --field-selector "regarding.name=$1,reason=$2" \
        -o jsonpath="{.items[0].$3}" 2>/dev/null
}
# call NAME SECRET [OPTION...]: the answer of the token endpoint. The secret is in no argument.
call() {
    local name=$1 secret=$2
    shift 2
    curl --silent "$@" "http://$address/auth/v1/api-key/token" \
        --data-urlencode "name=$name" --data-urlencode "secret@-" <<<"$secret"
}
status_of() { call "$1" "$2" --output /dev/null --write-out '%{http_code}'; }
token_of() { call "$1" "$2" | jq -r .access_token; }
ready() { kubectl wait --for=condition=Ready "apikey/$1" --timeout="${limit}s"; }

finish() {
    local status=$?
    trap - EXIT
    for process in $token_server $operator; do
        if kill "$process" 2>/dev/null; then wait "$process" || :; fi
    done
    if [ "$status" -ne 0 ]; then show_ends 20 "$log" "$token_log"; fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
trap 'failed "line $LINENO: $BASH_COMMAND"' ERR

step "1. Install the chart: two kinds, two ServiceAccounts, their permissions; no pods, because there is no node"
show helm install "$namespace" charts/apikey-operator \
    --namespace "$namespace" --create-namespace --wait --hide-notes \
    --set controller.replicas=0 --set tokenServer.replicas=0
account=system:serviceaccount:$namespace:$namespace
may_not() { [ "$(kubectl auth can-i "$@" --as="$account" 2>/dev/null || :)" = no ]; }
tokens_may_not() { account=$account-token may_not "$@"; }
check "the operator may not change ApiKeys, only their status" may_not patch apikeys.apikey-operator.dev
check "the operator may not write Secrets of others: update" may_not update secrets --namespace default

step "2. Start the operator as that ServiceAccount"
"$target/controlplane" service-account-kubeconfig "$namespace" "$namespace" \
    --out "$work/operator.kubeconfig" >/dev/null
printf '%s$ apikey-operator controller --namespace %s%s\n' "$dim" "$namespace" "$plain"
KUBECONFIG=$work/operator.kubeconfig "$target/apikey-operator" controller \
    --namespace "$namespace" --admin-listen 127.0.0.1:0 >"$audit" 2>"$log" &
operator=$!
leads() {
    kill -0 "$operator" 2>/dev/null || failed "the operator ended"
    [ -n "$(kubectl get lease apikey-operator-controller --namespace "$namespace" \
        --ignore-not-found -o jsonpath='{.spec.holderIdentity}')" ]
}
within "it holds the lease" leads

step "3. Declare an organization and a key"
show grep -v '^#' examples/quickstart.yaml
show kubectl apply -f examples/quickstart.yaml
show ready ci-upload
show kubectl get apikeys
show kubectl describe secret ci-upload
value=$(secret_value ci-upload)
pattern='^ak_[0-9a-hjkmnp-tv-z]{16}_[0-9A-Za-z]{49}$'
if ! [[ $value =~ $pattern ]]; then failed "the secret does not match the published pattern"; fi
passed "the secret matches the published pattern: ${value%_*}_ and 49 characters, not shown"
record=apikey-$(field apikey ci-upload '{.metadata.uid}')
stored=$(kubectl get secrets --namespace "$namespace" \
    -o go-template='{{range .items}}{{range .data}}{{. | base64decode}}{{"\n"}}{{end}}{{end}}')
if [[ $stored == *"${value##*_}"* ]]; then failed "the operator stores the secret in clear"; fi
check "the operator stores a hash and not the secret" test "${stored#*argon2id}" != "$stored"
check "kubectl diff finds no difference: the operator writes only the status" \
    kubectl diff -f examples/quickstart.yaml

step "4. Change the rules of the organization: the key keeps its secret"
show kubectl apply -f examples/organization.yaml
show ready nightly-build
counted() { [ "$(field organization acme '{.status.activeKeys}')" = 2 ]; }
within "acme counts both keys" counted
show kubectl get organizations,apikeys
check "the first key keeps its secret" test "$(secret_value ci-upload)" = "$value"

step "5. Change roles: the secret stays"
before=$(field secret nightly-build '{.metadata.resourceVersion}')
show kubectl patch apikey nightly-build --type=merge -p '{"spec":{"roles":["release-manager"]}}'
changed() { [ "$(field apikey nightly-build '{.status.roles}')" = '["release-manager"]' ]; }
within "status.roles has the new role" changed
check "the Secret is unchanged (resourceVersion $before)" \
    test "$(field secret nightly-build '{.metadata.resourceVersion}')" = "$before"

step "6. An expiry is immutable"
# shellcheck disable=SC2016 # the quotes are those of the message
refused '`expiry` is immutable' \
    kubectl patch apikey ci-upload --type=merge -p '{"spec":{"expiry":"2035-01-01T00:00:00Z"}}'

step "7. A key expires by itself"
end=$(($(date +%s) + 8))
expiry=$(utc "$end")
cat >"$work/short-lived.yaml" <<END
apiVersion: apikey-operator.dev/v1alpha1
kind: ApiKey
metadata: {name: short-lived}
spec: {org: acme, roles: [build-viewer], expiry: "$expiry"}
END
sed 's/^/  /' "$work/short-lived.yaml"
show kubectl apply -f - <"$work/short-lived.yaml"
show ready short-lived
show kubectl wait --for=jsonpath='{.status.phase}'=Expired apikey/short-lived --timeout="${limit}s"
show kubectl get apikey short-lived
has_event() { flipped=$(event short-lived Expired eventTime) && [ -n "$flipped" ]; }
within "an Event reports the expiry" has_event
echo "  expiry          $expiry"
echo "  status changed  $flipped"
case $flipped in
"${expiry%Z}"* | "$(utc $((end + 1)) | tr -d Z)"*) passed "the key expires at its expiry, and less than 2 s late" ;;
*) failed "the key did not expire at its expiry" ;;
esac
check "its Secret stays, so that pods that mount it can still start" \
    kubectl get secret short-lived -o name

step "8. Start the token server, which can read no Secret of a tenant"
for verb in get list watch; do
    check "it may not $verb Secrets in namespace default" tokens_may_not "$verb" secrets --namespace default
done
"$target/controlplane" service-account-kubeconfig "$namespace" "$namespace-token" \
    --out "$work/token.kubeconfig" >/dev/null
printf '%s$ apikey-operator token-server --namespace %s%s\n' "$dim" "$namespace" "$plain"
KUBECONFIG=$work/token.kubeconfig "$target/apikey-operator" token-server --namespace "$namespace" \
    --token-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 >"$token_audit" 2>"$token_log" &
token_server=$!
serves() {
    kill -0 "$token_server" 2>/dev/null || failed "the token server ended"
    address=$(sed -n 's/.*Serving tokens.*address=\([0-9.:]*\).*/\1/p' "$token_log" 2>/dev/null || :)
    [ -n "$address" ]
}
within "it serves" serves

step "9. Swap name and secret for a token, with the script of the documentation"
# shellcheck disable=SC2016 # the script expands them
script='set -e

API_KEY_NAME=nightly-build
API_KEY_SECRET='"'your_secret'"'

echo "Retrieving access token for API key: $API_KEY_NAME"

response=$(curl --silent --show-error --location '"'http://$address/auth/v1/api-key/token'"' \
--header '"'Content-Type: application/x-www-form-urlencoded'"' \
--data-urlencode '"'name='"'"$API_KEY_NAME"'"''"' \
--data-urlencode '"'secret='"'"$API_KEY_SECRET"'"''"')

ACCESS_TOKEN=$(echo "$response" | jq -r '"'.access_token'"')

echo "Access token retrieved: $ACCESS_TOKEN"'
printf '%s\n' "$script" | sed 's/^/  /'
secret=$(secret_value nightly-build)
known() { [ "$(status_of nightly-build "$secret")" = 200 ]; }
within "the token server knows the key" known
retrieved=$(bash <<<"${script/your_secret/$secret}")
token=${retrieved##*: }
claims() { jq -R 'split(".")[1] | gsub("-"; "+") | gsub("_"; "/") | @base64d | fromjson' <<<"$1"; }
claims "$token" | sed 's/^/  /'
check "the token names the key, its organization and its roles" test \
    "$(claims "$token" | jq -r '[.name, .org, (.roles | join(","))] | join(" ")')" = \
    "nightly-build acme release-manager"
check "introspection without a credential is refused" test "$(curl --silent --output /dev/null --write-out '%{http_code}' \
    "http://$address/oauth2/introspect" --data token=nonsense)" = 401

step "10. A role change is in the next token; a wrong secret gets nothing"
show kubectl patch apikey nightly-build --type=merge -p '{"spec":{"roles":["build-operator"]}}'
follows() { [ "$(claims "$(token_of nightly-build "$secret")" | jq -r '.roles[0]')" = build-operator ]; }
within "the next token has the new role" follows
wrong="${secret%_*}_$(printf '0%.0s' {1..49})"
printf '  %s\n' "$(call nightly-build "$wrong")"
check "a wrong secret is refused" test "$(status_of nightly-build "$wrong")" = 401
check "an unknown name is refused with the same message" test \
    "$(call nobody "$secret")" = "$(call nightly-build "$wrong")"

step "11. A deleted key is refused at once"
show kubectl apply -f - <<END
apiVersion: apikey-operator.dev/v1alpha1
kind: ApiKey
metadata: {name: contractor}
spec: {org: acme, roles: [build-viewer]}
END
show ready contractor
theirs=$(secret_value contractor)
accepted() { [ "$(status_of contractor "$theirs")" = 200 ]; }
within "it gets a token" accepted
show kubectl delete apikey contractor --wait=false
deleted=$(date +%s%N)
refused_now() { [ "$(status_of contractor "$theirs")" = 401 ]; }
within "it gets no token any more" refused_now
echo "  $((($(date +%s%N) - deleted) / 1000000)) ms after kubectl returned, including the start of curl"

step "12. A Secret that was removed by mistake is replaced, with a new secret"
show kubectl delete secret ci-upload
show kubectl wait --for=jsonpath='{.status.revision}'=2 apikey/ci-upload --timeout="${limit}s"
replaced() { note=$(event ci-upload Replaced note) && [ -n "$note" ]; }
within "an Event reports the replacement" replaced
echo "  $note"
show ready ci-upload
check "the value is new" test "$(secret_value ci-upload)" != "$value"
check "the key id is the same" test "$(field apikey ci-upload '{.status.keyId}')" = "$(cut -d _ -f 2 <<<"$value")"

step "13. Rotation without downtime"
old=$secret
show kubectl apikey rotate nightly-build --wait
secret=$(secret_value nightly-build)
check "the Secret has a new value" test "$secret" != "$old"
check "the new secret gets a token" test "$(status_of nightly-build "$secret")" = 200
check "the old secret also gets a token during the overlap" test "$(status_of nightly-build "$old")" = 200
show kubectl apikey status nightly-build
show kubectl apikey discard-previous nightly-build --yes
ended() { [ "$(status_of nightly-build "$old")" = 401 ]; }
within "the old secret is refused before the end of the overlap" ended
check "the new secret is accepted" test "$(status_of nightly-build "$secret")" = 200

step "14. A secret that is shown once"
show kubectl apply -f examples/reveal-once.yaml
show ready shown-once
once=$(kubectl apikey reveal shown-once --yes 2>"$work/claim") || failed "$(cat "$work/claim")"
sed 's/^/  /' "$work/claim"
if ! [[ $once =~ $pattern ]]; then failed "the claim got no secret"; fi
passed "the claim has the secret (not shown here)"
taken() { [ -z "$(kubectl get secret shown-once --ignore-not-found)" ]; }
within "the Secret is gone" taken
refused 'already claimed' kubectl apikey reveal shown-once --yes
etcdctl get --prefix '' >"$work/etcd" # a dump of all stored objects
if grep -qaF "$once" "$work/etcd"; then failed "etcd still has the claimed secret"; fi
check "etcd does not have the claimed secret, and has the secret of another key" \
    grep -qaF "$secret" "$work/etcd"
check "the claimed secret gets a token" test "$(status_of shown-once "$once")" = 200

step "15. A secret that only the owner of a private key can read"
age-keygen -o "$work/age.key" 2>/dev/null
recipient=$(age-keygen -y "$work/age.key")
sed "s/age1[0-9a-z]*$/$recipient/" examples/encrypted.yaml >"$work/encrypted.yaml"
show grep -v '^#' "$work/encrypted.yaml"
show kubectl apply -f - <"$work/encrypted.yaml"
show ready encrypted
kubectl get secret encrypted -o jsonpath='{.data.secret\.age}' | base64 -d >"$work/secret.age"
sed 's/^/  /' "$work/secret.age"
sealed=$(age -d -i "$work/age.key" "$work/secret.age")
check "age and kubectl apikey reveal decrypt the same secret" \
    test "$(kubectl apikey reveal encrypted --identity "$work/age.key")" = "$sealed"
if grep -rqaF "$sealed" "$CONTROLPLANE_DIR/etcd"; then failed "etcd got the clear value"; fi
passed "etcd never got the clear value: its log and files don't have it"
check "it gets a token" test "$(status_of encrypted "$sealed")" = 200

step "16. Deletion of a key"
show kubectl delete apikey ci-upload --timeout=5s
kubectl wait --for=delete "secret/$record" --namespace "$namespace" --timeout="${limit}s" >/dev/null
passed "the credential record is gone"
echo "  The garbage collector removes its Secret. It detects new kinds every 30 seconds:"
show kubectl wait --for=delete secret/ci-upload --timeout="${limit}s"
check "its Secret is gone" test -z "$(kubectl get secret ci-upload --ignore-not-found)"

step "17. The audit log"
revoked() { grep -q '"action":"Revoke"' "$audit"; }
within "it has the deletion" revoked
sed 's/^/  /' "$audit"
for action in Create Update Expire Replace Rotate Discard Reveal; do
    check "it has $action" grep -q "\"action\":\"$action\"" "$audit"
done
show grep -m 2 -e IssueToken "$token_audit"
show grep -m 2 -e Refuse "$token_audit"
if grep -qF -e "${value##*_}" -e "${secret##*_}" -e "${once##*_}" -e "${sealed##*_}" -e "$token" "$audit" "$log" "$token_audit" "$token_log"; then
    failed "it contains a secret"
fi
passed "neither it nor a log holds a secret or a token"

step "18. Stop and uninstall"
kill "$token_server" "$operator"
check "the token server ends cleanly" wait "$token_server"
check "the operator ends cleanly" wait "$operator"
operator='' token_server=''
grep "\"username\":\"$account\(-token\)\?\"" "$CONTROLPLANE_AUDIT_LOG" >"$work/requests"
if grep '"code":403' "$work/requests" >"$work/forbidden"; then
    failed "permissions are missing: $(head -n 1 "$work/forbidden")"
fi
passed "permissions sufficed: none of $(($(wc -l <"$work/requests"))) requests was refused"
show helm uninstall "$namespace" --namespace "$namespace" --wait
show kubectl get apikeys
check "keys and their Secrets stay after the uninstall" kubectl get secret nightly-build -o name

printf '\n%s%d checks passed in %d s%s\n' "$bold" "$checks" "$SECONDS" "$plain"
