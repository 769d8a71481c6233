#!/usr/bin/env bash
# Provides the control plane of the acceptance tests, the demo and `make run` (etcd, kube-apiserver,
# kube-controller-manager) and its tools (etcdctl, kubectl, helm, age, age-keygen). Uses existing programs
# (KUBEBUILDER_ASSETS, or the downloads of setup-envtest), and builds the others from source, with the
# versions of go.mod. The first build takes minutes, and later calls return at once.
#
#   build.sh [TOOL...]         build those of these tools that are missing; the default is all tools
#   build.sh --plan [TOOL...]  only print the source of each tool: lines of TOOL, one of
#                              prebuilt, built (by an earlier call) or build, the version, and the file
#   build.sh --print-dir       only print the folder of the binaries
#
# Exit codes: 0 the binaries exist, 1 the build failed, 2 wrong use or a missing program (the message names it
# and the fix), 130/143 interrupted.
set -euo pipefail

readonly RECIPE=2 # increment it if the build steps change, so that all machines rebuild
readonly GO_NEEDED=1.26
readonly DISK_LEAST_MB=800 # the binaries take 0.4 GB, and twice that during the build
readonly ALL=(etcd etcdctl kube-apiserver kube-controller-manager kubectl helm age age-keygen)

message() { printf '%s\n' "$*" >&2; }
note() { message "controlplane: $*"; }
fail() {
    note "$1"
    shift
    local line
    for line in "$@"; do message "  $line"; done
    exit 2
}

package_of() {
    case $1 in
    etcd) echo go.etcd.io/etcd/server/v3 ;;
    etcdctl) echo go.etcd.io/etcd/etcdctl/v3 ;;
    helm) echo helm.sh/helm/v4/cmd/helm ;;
    age | age-keygen) echo "filippo.io/age/cmd/$1" ;;
    *) echo "k8s.io/kubernetes/cmd/$1" ;;
    esac
}

# The name of the executable that `go build` creates for that package.
executable_of() {
    case $1 in
    etcd) echo server ;;
    *) echo "$1" ;;
    esac
}

thousands() {
    local n=$1 out=
    while [ "${#n}" -gt 3 ]; do
        out=,${n: -3}$out
        n=${n%???}
    done
    echo "$n$out"
}

# a, b and c
list() {
    local all=$1
    shift
    while [ $# -gt 1 ]; do
        all="$all, $1"
        shift
    done
    if [ $# = 1 ]; then all="$all and $1"; fi
    echo "$all"
}

called_in=$PWD
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pinned() { sed -n "s|^[[:space:]]*$1 \\(v[^ ]*\\).*|\\1|p" "$here/go.mod" | head -n 1; }
version=$(pinned k8s.io/kubernetes)
[ -n "$version" ] || fail "no version of k8s.io/kubernetes in $here/go.mod"

pinned_version() {
    local found
    case $1 in
    etcd | etcdctl) found=$(pinned go.etcd.io/etcd/server/v3) ;;
    helm) found=$(pinned helm.sh/helm/v4) ;;
    age | age-keygen) found=$(pinned filippo.io/age) ;;
    *) found=$version ;;
    esac
    echo "${found#v}"
}

if [ -z "${XDG_CACHE_HOME:-}" ] && [ -z "${HOME:-}" ]; then
    fail "neither HOME nor XDG_CACHE_HOME is set, so the folder for the binaries is unknown" \
        "fix: export XDG_CACHE_HOME=/some/folder"
fi
root=${XDG_CACHE_HOME:-${HOME:-}/.cache}/apikey-operator/controlplane
# Each program in it is a link, either into built/ or to the prebuilt program.
dir=$root/$version

planning=
case "${1:-}" in
--print-dir)
    echo "$dir"
    exit 0
    ;;
--plan)
    planning=1
    shift
    ;;
-h | --help)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac
if [ $# = 0 ]; then set -- "${ALL[@]}"; fi
for tool in "$@"; do
    case " ${ALL[*]} " in
    *" $tool "*) ;;
    *) fail "unknown argument: $tool" "usage: build.sh [--print-dir | [--plan] [TOOL...]], where TOOL is one of ${ALL[*]}" ;;
    esac
done

if command -v sha256sum >/dev/null; then
    sum() { sha256sum; }
elif command -v shasum >/dev/null; then
    sum() { shasum -a 256; }
else
    sum() { cksum; }
fi
stamp=$({ echo "recipe $RECIPE" && cat "$here/go.mod" "$here/go.sum"; } | sum | cut -d ' ' -f 1)
is_built() { [ -x "$dir/built/$1" ] && [ "$(cat "$dir/built/.stamps/$1" 2>/dev/null)" = "$stamp" ]; }

# shellcheck source=tests/controlplane/prebuilt.sh
. "$here/prebuilt.sh"
# shellcheck source=tests/controlplane/duration.sh
. "$here/duration.sh"
choose "$@"

wanted=("$@")
if [ -n "$planning" ]; then
    for tool in "${wanted[@]}"; do
        taken=$(prebuilt_version "$tool")
        if [ -n "$taken" ]; then
            echo "$tool prebuilt $taken $assets/$tool"
        elif is_built "$tool"; then
            echo "$tool built $(pinned_version "$tool") $dir/built/$tool"
        else
            echo "$tool build $(pinned_version "$tool") $(package_of "$tool")"
        fi
    done
    exit 0
fi

look() {
    missing=()
    local tool
    for tool in "${wanted[@]}"; do
        if [ -z "$(prebuilt_version "$tool")" ] && ! is_built "$tool"; then missing+=("$tool"); fi
    done
    [ ${#missing[@]} = 0 ]
}

# Creates a link. It replaces an existing link in one step, so that it never misses for another script.
link() {
    local target=$1 name=$2
    if [ "$(readlink "$dir/$name" 2>/dev/null)" = "$target" ]; then return 0; fi
    ln -s "$target" "$dir/.$name.$$"
    mv -f "$dir/.$name.$$" "$dir/$name"
}
finish() {
    local tool taken names=() built=0
    mkdir -p "$dir"
    for tool in "${wanted[@]}"; do
        taken=$(prebuilt_version "$tool")
        if [ -n "$taken" ]; then
            link "$assets/$tool" "$tool"
            names+=("$tool $taken")
        else
            link "built/$tool" "$tool"
            built=$((built + 1))
        fi
    done
    if [ ${#names[@]} -gt 0 ]; then
        note "from $assets ($assets_origin): $(list "${names[@]}")"
        if [ "$(minor_of "$apiserver")" != "$(minor_of "$version")" ]; then
            note "Kubernetes is ${apiserver#v} here; this project is tested with ${version#v}"
        fi
    fi
    if [ "$built" -gt 0 ]; then message "control plane $version is built: $dir"; else message "the control plane is in $dir"; fi
}

if look; then
    finish
    exit 0
fi

export CGO_ENABLED=0 GOWORK=off
cd "$here"
lacking="Go $GO_NEEDED or newer is missing; it builds $(list "${missing[@]}") from source"
command -v go >/dev/null || fail "$lacking" \
    "fix: install it from https://go.dev/dl/, or with 'brew install go' or 'apt install golang'" \
    "     (a distribution's Go may be older: 1.21 and up fetch the needed toolchain themselves)" \
    "     or export KUBEBUILDER_ASSETS=FOLDER, a folder that has them"
if ! go_version=$(go env GOVERSION 2>&1); then
    fail "the Go on the PATH cannot be used: $go_version" \
        "fix: install Go $GO_NEEDED or newer from https://go.dev/dl/; with Go 1.21 and up 'unset GOTOOLCHAIN' is enough"
fi
case $go_version in
go1.[0-9] | go1.[0-9].* | go1.1[0-9]* | go1.2[0-5]*)
    fail "Go $GO_NEEDED or newer is needed, the PATH has $go_version" \
        "fix: install it from https://go.dev/dl/"
    ;;
esac

# With warm caches the build needs far less space, so it stops only on a nearly full disk. If the space may be
# too small, the script warns, because that may explain a later failure.
check_disk() {
    local folder=$1 needed=$2 variable=$3 existing=$1 free
    while [ ! -d "$existing" ]; do existing=$(dirname "$existing"); done
    free=$(df -Pk "$existing" | awk 'NR == 2 { print int($4 / 1024) }')
    if [ "$free" -lt "$DISK_LEAST_MB" ]; then
        fail "low on disk: $folder has $(thousands "$free") MB free; a first build takes about $(thousands "$needed") MB there" \
            "fix: free some space, or point $variable to a folder on a larger disk"
    elif [ "$free" -lt "$needed" ]; then
        message "warning: $folder has $(thousands "$free") MB free; a first build takes about $(thousands "$needed") MB there"
    fi
}
check_disk "$(go env GOCACHE)" 4500 GOCACHE
check_disk "$(go env GOMODCACHE)" 1500 GOMODCACHE
check_disk "$root" 800 XDG_CACHE_HOME

mkdir -p "$root" || fail "cannot create $root" "fix: export XDG_CACHE_HOME=/some/writable/folder"

# Without flock, as on macOS, two builds at once both do the work, and both succeed: each has its own folder and
# moves finished binaries into place.
if command -v flock >/dev/null; then
    exec 9>"$root/.lock"
    if ! flock -n 9; then
        message "another build is running; waiting for it"
        flock 9
    fi
    if look; then
        finish
        exit 0
    fi
fi

scratch=$(mktemp -d "$root/.build.XXXXXX")
log=$scratch/log
mkdir "$scratch/bin" "$scratch/tmp"
# Go's temporary folder is inside ours, so that it is always removed with it.
export GOTMPDIR=$scratch/tmp
compiler=
tidy() {
    local status=$?
    trap - EXIT
    trap '' INT TERM HUP
    if [ -n "$compiler" ]; then
        # Signal the whole group: go and its compilers.
        kill -INT -- "-$compiler" 2>/dev/null || :
        wait "$compiler" 2>/dev/null || :
        kill -KILL -- "-$compiler" 2>/dev/null || :
    fi
    rm -rf "$scratch"
    exit "$status"
}
trap tidy EXIT
trap 'message ""; note "interrupted; no incomplete binary is left, and compiled packages stay cached"; exit 130' INT
trap 'exit 143' TERM HUP

minor=${version#v*.}
minor=${minor%%.*}
major=${version#v}
major=${major%%.*}
k8s=k8s.io/component-base/version
ldflags="-s -w -X $k8s.gitVersion=$version -X $k8s.gitMajor=$major -X $k8s.gitMinor=$minor"
ldflags="$ldflags -X helm.sh/helm/v4/internal/version.version=$(pinned helm.sh/helm/v4)"

terminal=
if [ -t 2 ]; then terminal=1; fi
status() {
    local fetched compiled
    fetched=$(grep -c '^go: downloading' "$log" || :)
    compiled=$(grep -vc '^go: ' "$log" || :)
    if [ "$fetched" -gt 0 ] && [ "$compiled" -eq 0 ]; then
        printf '%s modules downloaded, ' "$(thousands "$fetched")"
    else
        printf '%s packages compiled, ' "$(thousands "$compiled")"
    fi
    printf '%d s' "$SECONDS"
}

packages=()
for tool in "${missing[@]}"; do packages+=("$(package_of "$tool")"); done
estimate="; with empty caches this takes $(on_this_machine "$(go_seconds "${missing[@]}")")"
# The caller has printed an estimate for a larger build.
if [ -n "${REPORT_EVERY:-}" ]; then estimate=; fi
message "building $(list "${missing[@]}") with $go_version$estimate"
SECONDS=0
reported=0
: >"$log"
# One `go build` for all tools: they share packages, and Go links one while it compiles another. -v prints each
# compiled package, which shows the progress. With its own process group (set -m), all processes can be ended.
set -m
go build -v -mod=readonly -buildvcs=false -ldflags "$ldflags" -o "$scratch/bin/" "${packages[@]}" \
    >>"$log" 2>&1 </dev/null 9>&- &
compiler=$!
set +m
while kill -0 "$compiler" 2>/dev/null; do
    if [ -n "$terminal" ]; then
        printf '\r\033[K%s' "$(status)" >&2
    elif [ $((SECONDS - reported)) -ge "${REPORT_EVERY:-30}" ]; then
        message "$(status)"
        reported=$SECONDS
    fi
    sleep 0.5
done
if wait "$compiler"; then
    compiler=
else
    compiler=
    [ -z "$terminal" ] || message ""
    note "the build failed; the end of its output:"
    tail -n 20 "$log" | sed 's/^/  /' >&2
    if grep -q 'no space left on device' "$log"; then
        message "fix: free some disk space (Go's caches: $(go env GOCACHE), $(go env GOMODCACHE))"
    elif grep -q 'dial tcp\|i/o timeout\|no such host\|connection refused\|module lookup disabled' "$log"; then
        message "fix: the first build downloads Go modules: check the network, or set GOPROXY to a mirror you can reach"
    elif grep -q 'signal: killed' "$log"; then
        message "fix: the compiler was killed, probably because memory ran out; try again with GOFLAGS=-p=1"
    fi
    exit 1
fi
[ -z "$terminal" ] || printf '\r\033[K' >&2
message "$(status), done"

mkdir -p "$dir/built/.stamps"
for tool in "${missing[@]}"; do
    rm -f "$dir/built/.stamps/$tool"
    mv -f "$scratch/bin/$(executable_of "$tool")" "$dir/built/$tool"
    echo "$stamp" >"$scratch/stamp"
    mv -f "$scratch/stamp" "$dir/built/.stamps/$tool"
done
rm -f "$dir/.stamp" # a file of earlier versions of this script
finish
