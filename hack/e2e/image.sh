# shellcheck shell=bash
# Images of this checkout and of an older revision.

# load BINARY NAME TAG
load() {
    local -a loader
    read -ra loader <<<"$LOAD_IMAGE"
    quietly "LOAD_IMAGE of $2:$3" "${loader[@]}" "$1" "$IMAGE_PREFIX$2:$3"
}

build_current() {
    step "Images"
    local folder=${BINARIES:-}
    [ -n "$folder" ] || folder=$(hack/static.sh apikey-operator kubectl-apikey token-client | tail -n 1)
    cp "$folder/apikey-operator" "$folder/kubectl-apikey" "$folder/token-client" "$work/"
    load "$work/apikey-operator" apikey-operator "$tag"
    load "$work/token-client" token-client "$tag"
    passed "apikey-operator:$tag, $(du -h "$work/apikey-operator" | cut -f 1) of static binary, is on the nodes"
}

# Builds and loads that revision, and puts its chart into $work/old.
build_old() {
    local folder short
    short=$(git rev-parse --short "$UPGRADE_FROM^{commit}")
    mkdir "$work/old"
    git archive "$short" | tar -x -C "$work/old"
    # Use the present script, because the old revision may lack it.
    cp hack/static.sh "$work/old/hack/static.sh"
    folder=$(CARGO_TARGET_DIR=$(cd "${CARGO_TARGET_DIR:-target}" && pwd) "$work/old/hack/static.sh" apikey-operator | tail -n 1)
    cp "$folder/apikey-operator" "$work/old/apikey-operator"
    load "$work/old/apikey-operator" apikey-operator "$tag-$short"
    passed "apikey-operator:$tag-$short is on the nodes"
}
