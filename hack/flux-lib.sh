# shellcheck shell=bash
# Functions of hack/flux.sh: processes, keys, Git repositories as archives, and reconciles of Flux.

readonly namespace=apikey-operator
readonly interval=2 # seconds between two reconciles of Flux
readonly limit=40   # seconds that a step may take
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/debug
PATH=$target:$PATH # kubectl finds its plugin there
work=$CONTROLPLANE_DIR/flux
git=$work/git www=$work/www
mkdir -p "$git" "$www"
log=$work/kustomize-controller.log
operator='' token_server='' controller='' server=''
address='' port='' # the token server's address, the port of the archives
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
# check TEXT COMMAND...: checks that the command succeeds.
check() {
    local text=$1
    shift
    "$@" >"$work/output" 2>&1 || failed "$text: $(cat "$work/output")"
    passed "$text"
}
# await COMMAND...: waits until the command succeeds, up to the limit.
await() {
    local end=$((SECONDS + limit))
    until "$@" >"$work/output" 2>&1; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}
# within TEXT COMMAND...: checks that the command succeeds before the limit.
within() {
    local text=$1
    shift
    await "$@" || failed "$text: not within $limit s: $(cat "$work/output")"
    passed "$text"
}
# need COMMAND...: waits for the precondition of a check, up to the limit.
need() { await "$@" || failed "not within $limit s: $*: $(cat "$work/output")"; }

end() {
    if [ -n "$1" ] && kill "$1" 2>/dev/null; then wait "$1" || :; fi
}
finish() {
    local status=$?
    trap - EXIT
    for process in "$controller" "$server" "$token_server" "$operator"; do end "$process"; done
    if [ "$status" -ne 0 ]; then show_ends 10 "$log" "$work/operator.log"; fi
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
# days N: the time N days from now.
days() { utc $(($(date +%s) + $1 * 86400)); }
# token NAME SECRET CODE: checks the status code of the token endpoint.
token() {
    [ "$(curl --silent --max-time 5 --output /dev/null --write-out '%{http_code}' \
        "http://$address/auth/v1/api-key/token" --data-urlencode "name=$1" \
        --data-urlencode "secret@-" <<<"$2")" = "$3" ]
}

# Git. key REPO NAME [SPEC [METADATA]]: writes the file of a key.
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
# commit REPO: makes the folder's content the newest revision.
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
# follow REPO [SPEC]: makes Flux apply the folder, with this addition to the spec.
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
# leave REPO: makes Flux ignore the folder.
leave() { kubectl patch kustomization "$1" --type=merge -p '{"spec":{"suspend":true}}' >/dev/null; }
applied() { [ "$(field kustomization "$1" '{.status.lastAppliedRevision}')" = "main@sha1:$commits" ] && health "$1" True; }
attempted() { [ "$(field kustomization "$1" '{.status.lastAttemptedRevision}')" = "main@sha1:$commits" ]; }
health() { [ "$(field kustomization "$1" '{.status.conditions[?(@.type=="Ready")].status}')" = "$2" ]; }
ready_message() { field kustomization "$1" '{.status.conditions[?(@.type=="Ready")].message}'; }
message_has() { ready_message "$1" | grep -qiF -- "$2"; }
looks() {
    jq -rR --arg name "$1" 'fromjson? | select(.Kustomization.name == $name and
        (.msg | test("^Reconciliation (finished|failed)"))) | 1' "$log" | wc -l
}
more_looks() { [ "$(looks "$1")" -ge "$2" ]; }
# later REPO: waits for three more whole intervals, and for the reconcile that runs now.
later() { need more_looks "$1" $(($(looks "$1") + 4)); }
# changes KIND/NAME: the number of times that Flux found a difference between the object and Git.
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

