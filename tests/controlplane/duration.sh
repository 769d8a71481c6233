# shellcheck shell=bash
# Estimates how long builds take. Sourced by build.sh and hack/build-both.sh.

# go_seconds TOOL...: processor time to build these with empty caches. kube-controller-manager contains nearly all
# packages of kube-apiserver, and kubectl and helm contain those of the client.
go_seconds() {
    local tool seconds=0 shared=0
    for tool in "$@"; do
        case $tool in
        etcd) seconds=$((seconds + 70)) ;;
        kube-apiserver) seconds=$((seconds + 20)) shared=460 ;;
        kube-controller-manager) seconds=$((seconds + 150)) shared=460 ;;
        kubectl | helm)
            seconds=$((seconds + 35))
            if [ "$shared" = 0 ]; then shared=180; fi
            ;;
        *) seconds=$((seconds + 8)) ;;
        esac
    done
    echo $((seconds + shared))
}

# on_this_machine SECONDS: "about N min on M cores".
on_this_machine() {
    local cores of_use
    cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
    # More cores are partly idle while Go compiles and links a few large packages.
    of_use=$cores
    if [ "$of_use" -gt 8 ]; then of_use=8; fi
    echo "about $((($1 / of_use + 59) / 60)) min on $cores cores"
}
