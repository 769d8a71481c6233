#!/usr/bin/env bash
# Installs the chart on a cluster with nodes, and counts the failures of a consumer while the operator is
# upgraded, restarted, killed, scaled to 0 and uninstalled. Started by
#
#   make e2e KUBECONFIG=FILE LOAD_IMAGE='COMMAND' [UPGRADE_FROM=REVISION]
#
# LOAD_IMAGE gets two more arguments, BINARY and NAME:TAG. It creates an image with the static binary as its
# entry point, which runs as 65532:65532, and makes it available to the nodes under that name.
# UPGRADE_FROM: the script first installs the chart and image of this Git revision, creates keys, and upgrades.
#
# More variables:
#   IMAGE_PREFIX          goes before NAME, such as registry.example.com/e2e/; default: nothing
#   BINARIES              folder with static apikey-operator, kubectl-apikey and token-client that are built
#                         already
#   UPGRADE_FROM_OPTIONS  more options of `helm install` for the old chart
#
# The cluster must not have the definitions of apikey-operator, because the script removes them at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -z "${KUBECONFIG:-}" ] || [ -z "${LOAD_IMAGE:-}" ]; then
    echo "usage: make e2e KUBECONFIG=FILE LOAD_IMAGE='COMMAND' [UPGRADE_FROM=REVISION]; see CONTRIBUTING.md" >&2
    exit 2
fi
export KUBECONFIG

readonly release=apikey-operator
readonly namespace=apikey-e2e
readonly consumers=apikey-e2e-consumers
IMAGE_PREFIX=${IMAGE_PREFIX:-}
tag=e2e-$(date +%s)
work=${CARGO_TARGET_DIR:-target}/e2e
rm -rf "$work"
mkdir -p "$work"
readonly IMAGE_PREFIX tag work

. hack/e2e/lib.sh
. hack/e2e/image.sh
. hack/e2e/consumer.sh
. hack/e2e/install.sh
. hack/e2e/upgrade.sh
. hack/e2e/failures.sh
. hack/e2e/uninstall.sh

find_tools
refuse_foreign_cluster
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

build_current
if [ -n "${UPGRADE_FROM:-}" ]; then
    install_old
    start_consumer
    upgrade_to_current
else
    install_current
    start_consumer
fi
look_at_pods
upgrade_with_changed_values
restart_all
delete_leader
delete_token_servers
stop_controllers
uninstall_all

printf '%d passed, 0 failed\n' "$count"
