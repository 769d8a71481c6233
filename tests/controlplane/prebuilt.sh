# shellcheck shell=bash
# Finds programs of the control plane on this machine, and checks their versions.
# Sourced by build.sh, which sets the variables that shellcheck does not find here.
# shellcheck disable=SC2154
#
# The script uses one folder:
#
#   KUBEBUILDER_ASSETS=FOLDER  that folder. An unusable program in it is an error; a missing program
#                              is built.
#   KUBEBUILDER_ASSETS=        no folder: everything is built.
#   not set                    the download of setup-envtest for the pinned minor version. If a
#                              program in it is unusable, the whole folder is ignored.

readonly ETCD_OLDEST=3.5 # with Kubernetes 1.33
readonly HELM_MAJOR=4    # the only tested one

assets=        # the folder, or nothing
assets_origin= # the origin of its name
problem=       # why the last checked program is unusable
advice=        # how to fix that

platform() {
    local os arch
    os=$(uname -s | tr '[:upper:]' '[:lower:]')
    arch=$(uname -m)
    case $arch in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
    esac
    echo "$os${1:-/}$arch"
}

# The folder of setup-envtest: `setup-envtest list --help`, --bin-dir.
envtest_store() {
    case $(platform) in
    darwin/*) echo "${HOME:-}/Library/Application Support/io.kubebuilder.envtest/k8s" ;;
    *) echo "${XDG_DATA_HOME:-${HOME:-}/.local/share}/kubebuilder-envtest/k8s" ;;
    esac
}

# v1.37.2 -> 37
minor_of() {
    local rest=${1#*.}
    echo "${rest%%.*}"
}
oldest_minor() { sed -n 's/^kubeVersion: .*[^0-9]1\.\([0-9]*\)\..*/\1/p' "$here/../../charts/apikey-operator/Chart.yaml"; }

find_assets() {
    local store candidate others=
    if [ -n "${KUBEBUILDER_ASSETS+set}" ]; then
        [ -n "$KUBEBUILDER_ASSETS" ] || return 0
        assets_origin=KUBEBUILDER_ASSETS
        # A relative name is relative to the folder of the caller.
        assets=$(cd "$called_in" && cd "$KUBEBUILDER_ASSETS" 2>/dev/null && pwd) ||
            fail "KUBEBUILDER_ASSETS names no folder: $KUBEBUILDER_ASSETS" \
                "fix: export KUBEBUILDER_ASSETS=\"\$(setup-envtest use -p path 1.$(minor_of "$version").x)\", or 'unset KUBEBUILDER_ASSETS' to build from source"
        # Ignore our own folder, because its links would be replaced by links to themselves.
        if [ "$assets" -ef "$dir" ]; then assets=; fi
        return 0
    fi
    store=$(envtest_store)
    for candidate in "$store"/*-"$(platform -)"; do
        [ -d "$candidate" ] || continue
        case ${candidate##*/} in
        "1.$(minor_of "$version")."*)
            # The highest patch release is the last one with the longest number.
            if [ -z "$assets" ] || [ "${#candidate}" -ge "${#assets}" ]; then assets=$candidate; fi
            ;;
        *) others="$others ${candidate##*/}" ;;
        esac
    done
    if [ -n "$assets" ]; then
        assets_origin=setup-envtest
    elif [ -n "$others" ]; then
        note "setup-envtest has Kubernetes$others, which is not the pinned 1.$(minor_of "$version"): it is ignored"
    fi
}

# The kind of a file that does not run here, from its first bytes.
kind_of() {
    local bytes
    bytes=$(od -An -tx1 -N20 "$1" 2>/dev/null | tr -d ' \n')
    case $bytes in
    '') echo "an empty file" ;;
    7f454c46*3e00) echo "a program for linux/amd64" ;;
    7f454c46*b700) echo "a program for linux/arm64" ;;
    7f454c46*) echo "a program for another architecture" ;;
    cffaedfe07*) echo "a program for darwin/amd64" ;;
    cffaedfe0c*) echo "a program for darwin/arm64" ;;
    2321*) echo "a script" ;;
    *) echo "no program" ;;
    esac
}

# Sets `found_version` to the version that a program prints, such as 1.37.2; otherwise $problem and $advice. The
# answer is stored until the file changes, so that a second call starts no program.
version_of() {
    local tool=$1 file=$2 arguments output file_is
    case $tool in
    etcdctl) arguments=version ;;
    kubectl) arguments='version --client' ;;
    helm) arguments='version --short' ;;
    *) arguments=--version ;;
    esac
    file_is=$(ls -lLn "$file" 2>/dev/null || :)
    if [ -n "$file_is" ] && [ "$(sed -n 1p "$dir/.versions/$tool" 2>/dev/null)" = "$file_is" ]; then
        found_version=$(sed -n 2p "$dir/.versions/$tool")
        return 0
    fi
    if [ ! -e "$file" ]; then
        problem="$file is a link to a missing file"
        advice="remove the link to have $tool built"
        return 1
    fi
    if [ ! -x "$file" ]; then
        problem="$file is not executable"
        advice="chmod +x '$file'"
        return 1
    fi
    advice="download it for $(platform), or remove it from the folder to have it built"
    # shellcheck disable=SC2086 # two words for some
    if ! output=$({ "$file" $arguments </dev/null; } 2>&1); then
        problem="$file does not run on $(platform): it is $(kind_of "$file")"
        output=$(printf '%s\n' "$output" | tail -n 1)
        if [ -n "$output" ]; then problem="$problem, and \`$tool $arguments\` says: ${output##*: "$file": }"; fi
        return 1
    fi
    found_version=$(printf '%s\n' "$output" | sed -n 's/^[^0-9]*\([0-9][0-9]*\.[0-9][0-9]*\.[0-9][0-9]*\).*/\1/p' | head -n 1)
    if [ -z "$found_version" ]; then
        case $tool in
        # Programs that were built from source print none.
        age | age-keygen) found_version=unknown ;;
        *)
            problem="$file prints no version: \`$tool $arguments\` says: $(printf '%s\n' "$output" | head -n 1)"
            return 1
            ;;
        esac
    fi
    if [ -z "$planning" ]; then
        mkdir -p "$dir/.versions"
        printf '%s\n%s\n' "$file_is" "$found_version" >"$dir/.versions/$tool"
    fi
}

has() { [ -e "$assets/$1" ] || [ -L "$assets/$1" ]; }

# fits TOOL VERSION: whether a program of that version works with the others; otherwise sets $problem.
# Needs `apiserver`, the version of the kube-apiserver that will run.
fits() {
    local tool=$1 minor api
    minor=$(minor_of "$2")
    api=$(minor_of "$apiserver")
    advice="take all programs from one release: setup-envtest use -p path 1.$(minor_of "$version").x"
    case $tool in
    kube-apiserver)
        if [ "${2%%.*}" != 1 ] || [ "$minor" -lt "$(oldest_minor)" ]; then
            problem="kube-apiserver is $2, and this project supports Kubernetes 1.$(oldest_minor) and newer"
            return 1
        fi
        ;;
    kube-controller-manager)
        if [ "$minor" -gt "$api" ] || [ "$minor" -lt $((api - 1)) ]; then
            problem="kube-controller-manager would be ${2#v} beside kube-apiserver ${apiserver#v}: it may be one minor version older, and never newer"
            return 1
        fi
        ;;
    kubectl)
        if [ "$minor" -gt $((api + 1)) ] || [ "$minor" -lt $((api - 1)) ]; then
            problem="kubectl would be ${2#v} beside kube-apiserver ${apiserver#v}: they may be one minor version apart"
            return 1
        fi
        ;;
    etcd)
        if [ "${2%%.*}" != 3 ] || [ "$minor" -lt "${ETCD_OLDEST#*.}" ]; then
            problem="etcd is $2, and $ETCD_OLDEST or a newer 3 is needed"
            return 1
        fi
        ;;
    helm)
        if [ "${2%%.*}" != "$HELM_MAJOR" ]; then
            problem="helm is $2, and Helm $HELM_MAJOR is needed"
            advice="remove it from the folder to have it built"
            return 1
        fi
        ;;
    esac
}

# choose TOOL...: sets prebuilt to lines of "TOOL VERSION" for the programs to take from $assets.
choose() {
    local tool
    prebuilt=
    apiserver=$version
    find_assets
    [ -n "$assets" ] || return 0
    if check_assets "$@"; then return 0; fi
    if [ "$assets_origin" = KUBEBUILDER_ASSETS ]; then
        fail "KUBEBUILDER_ASSETS: $problem" "fix: $advice" "     or 'unset KUBEBUILDER_ASSETS' to build from source"
    fi
    note "$assets is not taken: $problem"
    assets='' prebuilt='' apiserver=$version
}

check_assets() {
    local tool found_version found=''
    if has kube-apiserver; then
        # Its version also decides about kube-controller-manager and kubectl.
        case " $*" in
        *" kube"*)
            version_of kube-apiserver "$assets/kube-apiserver" && fits kube-apiserver "$found_version" || return 1
            apiserver=$found_version
            ;;
        esac
    fi
    for tool in "$@"; do
        if has "$tool"; then
            version_of "$tool" "$assets/$tool" && fits "$tool" "$found_version" || return 1
            prebuilt="$prebuilt$tool $found_version
"
        else
            case $tool in
            kube-controller-manager | kubectl)
                if ! fits "$tool" "$version"; then
                    problem="$problem. $assets has no $tool, and the one that can be built is ${version#v}"
                    advice="put $tool ${apiserver#v} into that folder, or take 1.$(minor_of "$version"): setup-envtest use -p path 1.$(minor_of "$version").x"
                    return 1
                fi
                ;;
            esac
        fi
    done
    for tool in "${ALL[@]}"; do if has "$tool"; then found=1; fi; done
    if [ -z "$found" ]; then
        problem="$assets has none of ${ALL[*]}"
        advice="export KUBEBUILDER_ASSETS=\"\$(setup-envtest use -p path 1.$(minor_of "$version").x)\""
        return 1
    fi
}

# The version of a prebuilt program; nothing for one that must be built.
prebuilt_version() { printf '%s' "$prebuilt" | sed -n "s/^$1 //p"; }
