# shellcheck shell=bash
# Output, waits and cleanup of make e2e.

count=0
passed() {
    count=$((count + 1))
    printf '✓ %s\n' "$1"
}
failed() {
    printf '✗ %s\n' "$1" >&2
    exit 1
}
step() { printf '\n%s\n' "$1"; }
note() { printf '  %s\n' "$1"; }
# quietly TEXT COMMAND...: checks that the command succeeds. Otherwise shows its output.
quietly() {
    local text=$1
    shift
    "$@" >"$work/output" 2>&1 || failed "$text: failed
$(cat "$work/output")"
}
# check TEXT COMMAND...: the same, and counts it as a result.
check() {
    quietly "$@"
    passed "$1"
}
# within SECONDS TEXT COMMAND...: waits until the command succeeds.
within() {
    local seconds=$1 text=$2 end
    shift 2
    end=$((SECONDS + seconds))
    until "$@" >"$work/output" 2>&1; do
        [ "$SECONDS" -lt "$end" ] || failed "$text: not within $seconds s
$(cat "$work/output")"
        sleep 0.1
    done
}
# Milliseconds since 1970.
now() { date +%s%3N; }
seconds_since() { awk -v ms="$(($(now) - $1))" 'BEGIN { printf "%.2f s", ms / 1000 }'; }

find_tools() {
    local dir tool
    dir=$(tests/controlplane/build.sh --print-dir)
    if [ -x "$dir/helm" ]; then PATH=$dir:$PATH; fi
    for tool in helm kubectl jq; do
        command -v "$tool" >/dev/null || {
            printf 'missing: %s\n  fix: make controlplane, or install it\n' "$tool" >&2
            exit 2
        }
    done
}
refuse_foreign_cluster() {
    kubectl version >"$work/output" 2>&1 || failed "the cluster can't be reached: $(cat "$work/output")"
    if kubectl get crd --output name | grep -q '\.apikey-operator\.dev$'; then
        echo "this cluster has apikey-operator's definitions, and perhaps keys in use: choose another cluster" >&2
        exit 2
    fi
}

keep_logs() {
    local folder=$work/logs pod
    mkdir -p "$folder"
    kubectl get all,leases,events --namespace "$namespace" --output wide >"$folder/objects" 2>&1 || true
    kubectl get all,apikeys,events --namespace "$consumers" --output wide >"$folder/consumers" 2>&1 || true
    kubectl describe pods --namespace "$namespace" >"$folder/pods" 2>&1 || true
    kubectl get pods --all-namespaces --output json | jq -r --arg a "$namespace" --arg b "$consumers" '
        .items[].metadata | select(.namespace == $a or .namespace == $b) | "\(.namespace) \(.name)"' |
        while read -r where pod; do
            kubectl logs --namespace "$where" "$pod" >"$folder/$pod.log" 2>&1 || true
            kubectl logs --namespace "$where" "$pod" --previous >"$folder/$pod.previous.log" 2>/dev/null ||
                rm -f "$folder/$pod.previous.log"
        done
    echo "logs and events are in $folder" >&2
}

clean_up() {
    local status=$?
    trap - EXIT
    if [ "$status" -ne 0 ]; then keep_logs || true; fi
    {
        helm uninstall "$release" --namespace "$namespace" --ignore-not-found --wait
        kubectl delete namespace "$namespace" "$consumers" --ignore-not-found --timeout=60s
        kubectl delete crd apikeys.apikey-operator.dev organizations.apikey-operator.dev \
            --ignore-not-found --timeout=60s
    } >"$work/clean-up" 2>&1 || {
        echo "the cluster could not be cleaned up: $(tail -n 1 "$work/clean-up")" >&2
        [ "$status" -ne 0 ] || status=1
    }
    exit "$status"
}
