#!/usr/bin/env bash
# Runs the commands in the "sh" blocks of docs/installation.md in order, on its own control
# plane. Started by `make docs-commands`, as: controlplane exec -- hack/docs.sh
#
# That control plane has no nodes. Helm installs no pods, and the controller and the token server run as processes
# with the accounts and permissions of the release, from `helm install` to `helm uninstall`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. hack/lib.sh

if [ -z "${CONTROLPLANE_DIR:-}" ]; then
    echo "this script runs on its own control plane: make docs-commands" >&2
    exit 2
fi
readonly page=docs/installation.md namespace=apikey-operator
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/debug
work=$CONTROLPLANE_DIR/docs
mkdir -p "$work/bin"
finish() {
    local status=$?
    trap - EXIT
    stop
    if [ "$status" -ne 0 ]; then tail -n 20 "$work"/*.log >&2 || :; fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# process ACCOUNT ARGUMENT...: starts one of the two with the flags of the release.
process() {
    local account=$1
    shift
    "$target/controlplane" service-account-kubeconfig "$namespace" "$account" \
        --out "$work/$account.kubeconfig" >/dev/null
    KUBECONFIG=$work/$account.kubeconfig "$target/apikey-operator" "$@" --namespace "$namespace" \
        --admin-listen "127.0.0.1:$(free_port)" >>"$work/$account.log" 2>&1 &
    running+=($!)
}
# start RELEASE
start() {
    local name=$1
    [ "$name" = "$namespace" ] || name=$name-$namespace
    process "$name" controller --leader-elect=true --issuer-url "$url"
    process "$name-token" token-server --token-listen "${url#http://}" --issuer-url "$url"
}

# A helm that installs no pods.
helm=$(command -v helm)
cat >"$work/bin/helm" <<END
#!/usr/bin/env bash
case \$1 in
install | upgrade) set -- "\$@" --set controller.replicas=0 --set tokenServer.replicas=0 ;;
esac
exec "$helm" "\$@"
END
chmod +x "$work/bin/helm"
PATH=$work/bin:$target:$PATH
url=http://127.0.0.1:$(free_port)

# Write each block to a file with the number of its first line as its name.
awk -v to="$work" '
    /^```sh$/ { file = sprintf("%s/%04d.sh", to, NR + 1); next }
    /^```$/ { file = ""; next }
    file { print >file }
' "$page"

count=0
for block in "$work"/[0-9]*.sh; do
    if grep -q '^helm uninstall' "$block"; then stop; fi
    timeout 180 bash -euo pipefail "$block" >"$work/output" 2>&1 </dev/null || {
        printf '✗ %s, line %d\n' "$page" "$((10#$(basename "$block" .sh)))" >&2
        cat "$block" "$work/output" >&2
        exit 1
    }
    printf '✓ %s, line %d: %s\n' "$page" "$((10#$(basename "$block" .sh)))" "$(head -n 1 "$block")"
    if [ -n "${VERBOSE:-}" ]; then sed 's/^/    /' "$work/output"; fi
    count=$((count + 1))
    release=$(sed -n 's/^helm install \([^ ]*\) .*/\1/p' "$block")
    if [ -n "$release" ]; then start "$release"; fi
done
[ "$count" -gt 0 ]
printf '%d passed, 0 failed\n' "$count"
