#!/usr/bin/env bash
# Checks alerts, metrics and dashboard with Prometheus. promtool checks and tests the alerts, both the files and
# the rendered ones, and the metrics of a running controller and token server. Then a Prometheus scrapes both,
# and the script runs every query of the dashboard.
#
#   observability.sh                 runs everything; fails if a required program is missing
#   observability.sh --if-installed  skips everything with a message if a required program is missing
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. hack/lib.sh

readonly namespace=apikey-operator chart=charts/apikey-operator
readonly limit=60 # seconds for each wait

missing() {
    local tool
    for tool in prometheus promtool; do
        command -v "$tool" >/dev/null || echo "$tool: apt install prometheus"
    done
    for tool in curl jq; do
        command -v "$tool" >/dev/null || echo "$tool: apt install $tool"
    done
}

outside() {
    need_all "make observability" "$(missing)" "${1:-}"
    target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/debug
    exec "$target/controlplane" exec -- "${BASH_SOURCE[0]}" --inside
}

passed=0
failed=0

# check TEXT COMMAND...: checks that the command succeeds. Otherwise shows its output.
check() {
    local text=$1
    shift
    # Not in a condition, because set -e has no effect there.
    (
        trap - EXIT
        "$@"
    ) >"$work/output" 2>&1 &
    if wait $!; then
        passed=$((passed + 1))
        printf '✓ %s\n' "$text"
    else
        failed=$((failed + 1))
        printf '✗ %s\n' "$text"
        tail -n 40 "$work/output"
    fi
}

within() {
    local text=$1 end=$((SECONDS + limit))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || {
            echo "not within $limit s: $text" >&2
            exit 1
        }
        sleep 0.2
    done
}

finish() {
    local status=$?
    trap - EXIT
    stop
    if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
        tail -n 20 "$work"/*.log >&2 || :
    fi
    exit "$status"
}

rendered() {
    helm template "$namespace" "$chart" --namespace "$namespace" \
        --set metrics.prometheusRule.enabled=true "$@" \
        --show-only templates/prometheusrule.yaml | sed '1,/^spec:/d; s/^  //'
}
rendered_rules() {
    rendered >"$work/rendered.yaml"
    promtool check rules "$work/rendered.yaml"
    sed "s|\.\./\.\./$chart/files/alerts.yaml|$work/rendered.yaml|" \
        tests/observability/alerts_test.yaml >"$work/rendered_test.yaml"
    promtool test rules "$work/rendered_test.yaml"
}
changed_rules() {
    rendered --set 'metrics.prometheusRule.disabled={ApiKeyPending}' \
        --set metrics.prometheusRule.overrides.ApiKeyTokenLatency.for=7m \
        --set metrics.prometheusRule.runbook=https://wiki.example/runbook >"$work/changed.yaml"
    promtool check rules "$work/changed.yaml"
    grep -q 'for: 7m' "$work/changed.yaml"
    grep -qF 'https://wiki.example/runbook#apikeytokenlatency' "$work/changed.yaml"
    ! grep -q -e 'alert: ApiKeyPending' -e 'docs/runbook.md' "$work/changed.yaml"
}
misspelt_alert() {
    ! rendered --set 'metrics.prometheusRule.disabled={ApiKeyPendng}'
}
all_templates() {
    helm lint --strict --quiet "$chart" --set metrics.podMonitor.enabled=true \
        --set metrics.serviceMonitor.enabled=true --set metrics.prometheusRule.enabled=true \
        --set metrics.dashboard.enabled=true
}
dashboard_of_the_chart() {
    helm template "$namespace" "$chart" --set metrics.dashboard.enabled=true \
        --show-only templates/dashboard.yaml >"$work/dashboard.yaml"
    kubectl create --dry-run=client -f "$work/dashboard.yaml" -o json |
        jq -r '.data["apikey-operator.json"]' >"$work/dashboard.json"
    cmp <(jq -S . "$work/dashboard.json") <(jq -S . "$chart/files/dashboard.json")
}

# promtool supports only the classic text format.
metrics_of() {
    curl --silent --fail --header "Accept: text/plain" "http://127.0.0.1:$1/metrics" >"$work/metrics"
    promtool check metrics <"$work/metrics"
}

# Sends a query to Prometheus, and fails if the query is invalid.
ask() {
    curl --silent --fail-with-body --data-urlencode "query=$1" "http://127.0.0.1:$prometheus/api/v1/query"
}
scraped() {
    [ "$(ask 'sum(up)' 2>/dev/null | jq -r '.data.result[0].value[1]' 2>/dev/null)" = 2 ] &&
        [ "$(ask 'sum(apikey_tokens_issued_total)' | jq -r '.data.result[0].value[1]')" != null ] &&
        [ "$(ask 'count(sum_over_time(up[1m]) > 4)' | jq -r '.data.result[0].value[1]')" = 2 ]
}
# Checks that every query of the dashboard is valid and has an answer. Queries about failures may have none,
# because there were no failures.
dashboard_queries() {
    local query unanswered=0 empty=0 count=0
    jq -r '.. | .expr? // empty | @base64' "$chart/files/dashboard.json" >"$work/queries"
    while read -r query; do
        query=$(base64 -d <<<"$query")
        query=${query//\$__rate_interval/1m}
        query=${query//\$job/.*}
        query=${query//\$org/.*}
        ask "$query" >"$work/answer" || {
            echo "$query"
            cat "$work/answer"
            return 1
        }
        count=$((count + 1))
        if [ "$(jq '.data.result | length' "$work/answer")" = 0 ]; then
            empty=$((empty + 1))
            case $query in *_failures_total* | *_errors_total*) continue ;; esac
            unanswered=$((unanswered + 1))
            echo "  no answer: $query"
        fi
    done <"$work/queries"
    echo "  $count queries, $((count - empty)) with an answer, $((empty - unanswered)) about failures without"
    [ "$unanswered" = 0 ]
}
alerts_of() { curl --silent --fail "http://127.0.0.1:$prometheus/api/v1/rules"; }
alerts_evaluated() {
    alerts_of | jq -e '[.data.groups[].rules[]] | length > 20 and all(.health == "ok")' >/dev/null
}
alerts_healthy() {
    within "all alerts are evaluated" alerts_evaluated
    alerts_of | jq -r '.data.groups[].rules[] | select(.state != "inactive") | .name + " is " + .state' \
        >"$work/firing"
    cat "$work/firing"
    [ ! -s "$work/firing" ]
}

operator() {
    local account=$1 log=$2.log port=$3
    shift 3
    KUBECONFIG=$work/$account.kubeconfig "$target/apikey-operator" "$@" --namespace "$namespace" \
        --admin-listen "127.0.0.1:$port" >/dev/null 2>"$work/$log" &
    running+=($!)
}
ready() { curl --silent --fail --output /dev/null "http://127.0.0.1:$1/readyz"; }
delivered() { kubectl get secret "$1" -o go-template='{{.data.secret | base64decode}}'; }
# token NAME: requests a token with the secret on standard input.
token() {
    curl --silent --fail --output /dev/null --data-urlencode secret@- --data-urlencode "name=$1" \
        "http://127.0.0.1:$listen/auth/v1/api-key/token"
}
knows() { delivered "$1" | token "$1"; }
wrong() {
    curl --silent --output /dev/null --data "name=nobody&secret=$1" \
        "http://127.0.0.1:$listen/auth/v1/api-key/token"
}
replaced() { [ -n "$(kubectl get apikey nightly -o jsonpath='{.status.previousSecret.revision}')" ]; }

inside() {
    local controller tokens n account old
    target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/debug
    work=$CONTROLPLANE_DIR/observability
    mkdir "$work"
    umask 077
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP

    check "the alerts are rules of Prometheus" promtool check rules "$chart/files/alerts.yaml"
    check "each alert fires at the right time, and not before" \
        promtool test rules tests/observability/alerts_test.yaml
    check "the rendered alerts do so too" rendered_rules
    check "values of the chart change and leave out alerts" changed_rules
    check "a misspelt alert in the values is refused" misspelt_alert
    check "the chart with all objects for Prometheus is valid" all_templates
    check "the ConfigMap has the dashboard" dashboard_of_the_chart

    helm install "$namespace" "$chart" --namespace "$namespace" --create-namespace >/dev/null
    for account in controller token; do
        local name=$namespace
        [ "$account" = controller ] || name=$namespace-$account
        "$target/controlplane" service-account-kubeconfig "$namespace" "$name" \
            --out "$work/$account.kubeconfig" >/dev/null
    done
    controller=$(free_port) tokens=$(free_port) listen=$(free_port) prometheus=$(free_port)
    operator controller controller "$controller" controller --leader-elect=false
    operator token token-server "$tokens" token-server --token-listen "127.0.0.1:$listen"
    within "the token server is ready" ready "$tokens"
    kubectl apply -f examples/quickstart.yaml >/dev/null
    kubectl apply -f - >/dev/null <<EOF
apiVersion: apikey-operator.dev/v1alpha1
kind: ApiKey
metadata: {name: nightly}
spec:
  org: acme
  roles: [build-viewer]
  expiry: "$(jq -nr 'now + 20 * 86400 | floor | todate')"
  rotation: {everyDays: 5}
EOF
    kubectl wait --for=condition=Ready apikey/ci-upload apikey/nightly --timeout="${limit}s" >/dev/null
    within "the token server issues tokens" knows ci-upload
    within "the token server issues tokens" knows nightly
    # Use the secret after its replacement.
    old=$(delivered nightly)
    kubectl annotate apikey nightly apikey-operator.dev/rotate-requested-at=1 >/dev/null
    within "the operator replaces a secret" replaced
    within "the token server accepts the new secret" knows nightly
    printf %s "$old" | token nightly
    wrong 0
    check "promtool finds no problem with the metrics of the controller" metrics_of "$controller"
    check "promtool finds no problem with the metrics of the token server" metrics_of "$tokens"

    cat >"$work/prometheus.yml" <<EOF
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [$PWD/$chart/files/alerts.yaml]
scrape_configs:
  - job_name: apikey-operator
    honor_labels: true
    static_configs: [{targets: ["127.0.0.1:$controller", "127.0.0.1:$tokens"]}]
EOF
    prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" \
        --web.listen-address="127.0.0.1:$prometheus" >"$work/prometheus.log" 2>&1 &
    running+=($!)
    within "Prometheus has scraped both" scraped
    # Requests for the rates of the dashboard.
    for n in 1 2 3 4; do
        knows ci-upload
        wrong "$n"
        sleep 1
    done
    check "Prometheus accepts and answers every query of the dashboard" dashboard_queries
    grep '^  ' "$work/output" || :
    check "Prometheus evaluates every alert, and none fires" alerts_healthy

    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
}

case "${1:-}" in
'' | --if-installed) outside "$@" ;;
--inside) inside ;;
*)
    echo "usage: observability.sh [--if-installed]" >&2
    exit 2
    ;;
esac
