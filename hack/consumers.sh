#!/usr/bin/env bash
# Tests the token server with independent clients: JWT and OAuth libraries in Python, Node.js and Go for each
# signing algorithm, a resource server of Spring for the algorithms that it supports, schemathesis with the
# OpenAPI description, and nginx with the example configuration.
#
#   consumers.sh                 runs everything; fails if a required program is missing
#   consumers.sh --if-installed  skips everything with a message if a required program is missing
#
# Packages go into a folder of the user's cache. Their versions are those of tests/consumers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. hack/lib.sh

readonly namespace=apikey-operator
readonly limit=60 # seconds for each wait
packages=${XDG_CACHE_HOME:-$HOME/.cache}/apikey-operator/consumers/$(
    cat tests/consumers/{requirements.txt,package.json,go/*,spring/pom.xml,spring/src/main/java/consumer/*} |
        cksum | tr ' ' -
)
python=$packages/venv/bin/python

missing() {
    command -v python3 >/dev/null && python3 -c 'import venv, ensurepip' 2>/dev/null ||
        echo "python3 with venv: apt install python3-venv"
    command -v node >/dev/null &&
        node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' ||
        echo "Node.js 20 or later: apt install nodejs"
    command -v npm >/dev/null || echo "npm: apt install npm"
    [ -x /usr/sbin/nginx ] || command -v nginx >/dev/null || echo "nginx: apt install nginx"
    command -v curl >/dev/null || echo "curl: apt install curl"
    command -v go >/dev/null || echo "Go: see CONTRIBUTING.md"
    command -v javac >/dev/null || echo "a JDK, 17 or later: apt install openjdk-17-jdk-headless"
    command -v mvn >/dev/null || echo "Maven: apt install maven"
}

# Installs the imported packages once for each set of versions.
install_packages() {
    [ ! -e "$packages/complete" ] || return 0
    rm -rf "$packages"
    mkdir -p "$packages/node"
    python3 -m venv "$packages/venv"
    "$python" -m pip install --quiet --disable-pip-version-check \
        --requirement tests/consumers/requirements.txt
    cp tests/consumers/package.json "$packages/node/"
    npm install --prefix "$packages/node" --silent --no-audit --no-fund --ignore-scripts
    go build -C tests/consumers/go -o "$packages/go-consumer" .
    cp -R tests/consumers/spring "$packages/"
    mvn --quiet --batch-mode --file "$packages/spring/pom.xml" package
    touch "$packages/complete"
}

outside() {
    need_all "make consumers" "$(missing)" "${1:-}"
    install_packages
    target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/debug
    # Node.js searches for packages beside the script.
    cp tests/consumers/verify.mjs "$packages/node/"
    exec "$target/controlplane" exec -- "${BASH_SOURCE[0]}" --inside
}

passed=0
failed=0

# Counts and shows one check.
report() {
    if [ "$1" = ok ]; then
        passed=$((passed + 1))
        printf '✓ %s\n' "$2"
    else
        failed=$((failed + 1))
        printf '✗ %s\n' "$2"
    fi
}

redacted() { sed -E 's/(ak_|eyJ)[0-9A-Za-z._-]{20,}/\1.../g' "$1"; }

# Counts and shows the lines of a client. A failure of the client itself counts as well.
clients() {
    local text=$1 line status=0
    shift
    "$@" >"$work/said" 2>"$work/errors" || status=$?
    while IFS= read -r line; do
        case $line in
        "ok "*) report ok "${line#ok }" ;;
        "not ok "*) report failed "${line#not ok }" ;;
        esac
    done <"$work/said"
    if [ "$status" -ne 0 ] && ! grep -q '^not ok ' "$work/said"; then
        report failed "$text ended with code $status"
        redacted "$work/errors" | tail -n 20
    fi
}

# check TEXT COMMAND...: checks that the command succeeds. Otherwise shows its output without tokens and
# secrets.
check() {
    local text=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        report ok "$text"
    else
        report failed "$text"
        redacted "$work/said"
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
        sleep 0.1
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

operator() {
    local account=$1 log=$work/$2.log
    shift 2
    KUBECONFIG=$work/$account.kubeconfig "$target/apikey-operator" "$@" \
        --namespace "$namespace" --admin-listen 127.0.0.1:0 >/dev/null 2>"$log" &
    running+=($!)
}

serves() { curl --silent --fail --output "$work/jwks" "$ISSUER/oauth2/jwks"; }
ring() { kubectl get secret apikey-operator-signing-keys --namespace "$namespace" -o name >/dev/null 2>&1; }
delivered() {
    kubectl get secret app -o go-template="{{index .data \"$1\" | base64decode}}"
}
access_token() {
    curl --silent --fail --data-urlencode "secret@$SECRET_FILE" --data name=app \
        "$ISSUER/auth/v1/api-key/token" | "$python" -c 'import json, sys; print(json.load(sys.stdin)["access_token"])'
}
knows_key() { access_token >"$work/token" 2>/dev/null; }

# Starts the operator and a token server with a ring of this algorithm, and an issuer with this path.
start() {
    local port
    # No controller runs and the ring is deleted, so the next controller creates a new ring.
    kubectl delete secret apikey-operator-signing-keys --namespace "$namespace" \
        --ignore-not-found >/dev/null
    port=$(free_port)
    export ALGORITHM=$1 ISSUER=http://127.0.0.1:$port${2:-}
    operator controller "controller-$1" controller --signing-algorithm "$1" --leader-elect=false
    within "a ring of keys" ring
    operator token "token-server-$1" token-server --issuer-url "$ISSUER" \
        --token-listen "127.0.0.1:$port" \
        --failures-per-second 1000000 --source-failures-per-second 1000000
    within "the token server serves" serves
}

# schemathesis stores its requests in the current folder and reads its settings there, so it gets a temporary one.
fuzz() (
    cp tests/consumers/schemathesis.toml "$work/"
    cd "$work"
    "$packages/venv/bin/schemathesis" run "$ISSUER/openapi.json" --no-color --warnings off \
        --seed 1 --max-examples 100
)

inside() {
    local account algorithm path
    target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/debug
    work=$CONTROLPLANE_DIR/consumers
    mkdir "$work"
    umask 077
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP

    check "nginx with the example configuration accepts keys and forwards the caller's identity" \
        cargo test --quiet --locked --test acceptance -- --ignored token::nginx

    helm install "$namespace" charts/apikey-operator \
        --namespace "$namespace" --create-namespace --wait \
        --set controller.replicas=0 --set tokenServer.replicas=0 >/dev/null
    for account in controller token; do
        local name=$namespace
        [ "$account" = controller ] || name=$namespace-$account
        "$target/controlplane" service-account-kubeconfig "$namespace" "$name" \
            --out "$work/$account.kubeconfig" >/dev/null
    done
    kubectl apply -f - >/dev/null <<END
apiVersion: apikey-operator.dev/v1alpha1
kind: Organization
metadata: {name: acme}
spec: {allowedNamespaces: {from: All}}
---
apiVersion: apikey-operator.dev/v1alpha1
kind: ApiKey
metadata: {name: app}
spec: {org: acme, roles: [build-viewer, build-operator]}
END
    export SECRET_FILE=$work/secret KEY_ID ACCESS_TOKEN AUTHLIB_INSECURE_TRANSPORT=1
    for algorithm in ES256 RS256 EdDSA; do
        path=
        [ "$algorithm" != RS256 ] || path=/realms/keys
        start "$algorithm" "$path"
        kubectl wait --for=condition=Ready apikey/app --timeout="${limit}s" >/dev/null
        delivered secret >"$SECRET_FILE"
        KEY_ID=$(delivered key-id)
        within "the token server knows the key" knows_key
        clients "$algorithm: Python" "$python" tests/consumers/verify.py
        clients "$algorithm: Node.js" node "$packages/node/verify.mjs"
        ACCESS_TOKEN=$(cat "$work/token")
        clients "$algorithm: Go" "$packages/go-consumer"
        # Spring does not support EdDSA.
        [ "$algorithm" = EdDSA ] ||
            clients "$algorithm: Spring" java -jar "$packages/spring/target/consumer-spring-1.jar"
        [ "$algorithm" = EdDSA ] || stop
    done

    SECRET=$(cat "$SECRET_FILE")
    export SECRET
    check "schemathesis finds no problem with /openapi.json" fuzz
    sed -n 's/^ *\([0-9]* generated\).*/  \1/p' "$work/said"

    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
}

case "${1:-}" in
'' | --if-installed) outside "$@" ;;
--inside) inside ;;
*)
    echo "usage: consumers.sh [--if-installed]" >&2
    exit 2
    ;;
esac
