#!/usr/bin/env bash
# Builds the control plane that the acceptance tests, the demo and `make run` use (etcd,
# kube-apiserver, kube-controller-manager) and the tools that go with it (etcdctl, kubectl,
# helm, age, age-keygen), from source, at the versions pinned in go.mod. The first run takes
# minutes, every later one is instant.
#
#   build.sh              build what is missing
#   build.sh --print-dir  print the folder of the binaries and do nothing else
#
# Exit codes: 0 the binaries are there, 1 the build failed, 2 wrong use or something this
# machine lacks (the message says what and how to get it), 130/143 interrupted.
set -euo pipefail

readonly RECIPE=1 # raise it when the way of building changes, so that everybody rebuilds
readonly GO_NEEDED=1.26
readonly DISK_LEAST_MB=800 # the binaries take 0.4 GB, twice that while they are built
readonly STEPS=(etcd etcdctl kube-apiserver kube-controller-manager kubectl helm age age-keygen)

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "controlplane: $1"
    shift
    local line
    for line in "$@"; do say "  $line"; done
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

thousands() {
    local n=$1 out=
    while [ "${#n}" -gt 3 ]; do
        out=,${n: -3}$out
        n=${n%???}
    done
    echo "$n$out"
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pinned() { sed -n "s|^[[:space:]]*$1 \\(v[^ ]*\\).*|\\1|p" "$here/go.mod" | head -n 1; }
version=$(pinned k8s.io/kubernetes)
[ -n "$version" ] || fail "no version of k8s.io/kubernetes in $here/go.mod"

if [ -z "${XDG_CACHE_HOME:-}" ] && [ -z "${HOME:-}" ]; then
    fail "neither HOME nor XDG_CACHE_HOME is set, so there is no place for the binaries" \
        "fix: export XDG_CACHE_HOME=/some/folder"
fi
root=${XDG_CACHE_HOME:-${HOME:-}/.cache}/apikey-operator/controlplane
dir=$root/$version

case "${1:-}" in
--print-dir)
    echo "$dir"
    exit 0
    ;;
'') ;;
-h | --help)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
*) fail "unknown argument: $1" "usage: build.sh [--print-dir]" ;;
esac

if command -v sha256sum >/dev/null; then
    sum() { sha256sum; }
elif command -v shasum >/dev/null; then
    sum() { shasum -a 256; }
else
    sum() { cksum; }
fi
stamp=$({ echo "recipe $RECIPE" && cat "$here/go.mod" "$here/go.sum"; } | sum | cut -d ' ' -f 1)

complete() {
    local tool
    [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ] || return 1
    for tool in "${STEPS[@]}"; do [ -x "$dir/$tool" ] || return 1; done
}

done_line() { say "control plane $version is built: $dir"; }

if complete; then
    done_line
    exit 0
fi

export CGO_ENABLED=0 GOWORK=off
cd "$here"
command -v go >/dev/null || fail "Go $GO_NEEDED or newer is missing (it builds Kubernetes from source)" \
    "fix: install it from https://go.dev/dl/, or with 'brew install go' or 'apt install golang'" \
    "     (a distribution's Go may be older: 1.21 and up fetch the needed toolchain themselves)"
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

# With warm caches the build needs far less than from nothing, so only a nearly full disk
# stops it; a doubtful one is named first, for the failure it may explain.
check_disk() {
    local folder=$1 wanted=$2 variable=$3 existing=$1 free
    while [ ! -d "$existing" ]; do existing=$(dirname "$existing"); done
    free=$(df -Pk "$existing" | awk 'NR == 2 { print int($4 / 1024) }')
    if [ "$free" -lt "$DISK_LEAST_MB" ]; then
        fail "low on disk: $folder has $(thousands "$free") MB free; a first build takes about $(thousands "$wanted") MB there" \
            "fix: free some space, or point $variable to a folder on a larger disk"
    elif [ "$free" -lt "$wanted" ]; then
        say "warning: $folder has $(thousands "$free") MB free; a first build takes about $(thousands "$wanted") MB there"
    fi
}
check_disk "$(go env GOCACHE)" 4500 GOCACHE
check_disk "$(go env GOMODCACHE)" 1500 GOMODCACHE
check_disk "$root" 800 XDG_CACHE_HOME

mkdir -p "$root" || fail "cannot create $root" "fix: export XDG_CACHE_HOME=/some/writable/folder"

# Without flock (macOS has none) two builds at once do the work twice, and both end well:
# each has a folder of its own and moves finished binaries into place.
if command -v flock >/dev/null; then
    exec 9>"$root/.lock"
    if ! flock -n 9; then
        say "another build is running; waiting for it"
        flock 9
    fi
    if complete; then
        done_line
        exit 0
    fi
fi

scratch=$(mktemp -d "$root/.build.XXXXXX")
log=$scratch/log
compiler=
tidy() {
    local status=$?
    trap - EXIT INT TERM
    if [ -n "$compiler" ] && kill "$compiler" 2>/dev/null; then wait "$compiler" 2>/dev/null || :; fi
    rm -rf "$scratch"
    exit "$status"
}
trap tidy EXIT
trap 'say ""; say "controlplane: interrupted; nothing half-built is left, what was compiled stays cached"; exit 130' INT
trap 'exit 143' TERM

minor=${version#v*.}
minor=${minor%%.*}
major=${version#v}
major=${major%%.*}
k8s=k8s.io/component-base/version
ldflags="-s -w -X $k8s.gitVersion=$version -X $k8s.gitMajor=$major -X $k8s.gitMinor=$minor"
ldflags="$ldflags -X helm.sh/helm/v4/internal/version.version=$(pinned helm.sh/helm/v4)"

terminal=
if [ -t 2 ]; then terminal=1; fi
status_of() {
    local fetched compiled
    fetched=$(grep -c '^go: downloading' "$log" || :)
    compiled=$(grep -vc '^go: ' "$log" || :)
    printf '%s … ' "$1"
    if [ "$fetched" -gt 0 ] && [ "$compiled" -eq 0 ]; then
        printf '%s modules downloaded, ' "$(thousands "$fetched")"
    else
        printf '%s packages compiled, ' "$(thousands "$compiled")"
    fi
    printf '%d s' "$((SECONDS - began))"
}

say "building the control plane $version with $go_version; the first time takes 6 to 10 minutes"
number=0
for tool in "${STEPS[@]}"; do
    number=$((number + 1))
    label="[$number/${#STEPS[@]}] $tool"
    began=$SECONDS
    reported=$SECONDS
    : >"$log"
    [ -n "$terminal" ] || say "$label …"
    # -v names each package as it is compiled: that is the progress.
    go build -v -mod=readonly -buildvcs=false -ldflags "$ldflags" \
        -o "$scratch/$tool" "$(package_of "$tool")" >>"$log" 2>&1 9>&- &
    compiler=$!
    while kill -0 "$compiler" 2>/dev/null; do
        if [ -n "$terminal" ]; then
            printf '\r\033[K%s' "$(status_of "$label")" >&2
        elif [ $((SECONDS - reported)) -ge 30 ]; then
            say "$(status_of "$label")"
            reported=$SECONDS
        fi
        sleep 0.5
    done
    if wait "$compiler"; then
        compiler=
    else
        compiler=
        [ -z "$terminal" ] || say ""
        say "controlplane: the build of $tool failed; the end of its output:"
        tail -n 20 "$log" | sed 's/^/  /' >&2
        if grep -q 'no space left on device' "$log"; then
            say "fix: free some disk space (Go's caches: $(go env GOCACHE), $(go env GOMODCACHE))"
        elif grep -q 'dial tcp\|i/o timeout\|no such host\|connection refused' "$log"; then
            say "fix: the first build downloads Go modules: check the network, or set GOPROXY to a mirror you can reach"
        elif grep -q 'signal: killed' "$log"; then
            say "fix: the compiler was killed, most likely for want of memory; try again with GOFLAGS=-p=1"
        fi
        exit 1
    fi
    [ -z "$terminal" ] || printf '\r\033[K' >&2
    say "$(status_of "$label"), done"
done

mkdir -p "$dir"
rm -f "$dir/.stamp"
for tool in "${STEPS[@]}"; do mv -f "$scratch/$tool" "$dir/$tool"; done
echo "$stamp" >"$scratch/.stamp"
mv -f "$scratch/.stamp" "$dir/.stamp"
done_line
