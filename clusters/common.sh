# shellcheck shell=bash
# Read by the scripts beside it. Which cluster is meant: the one that KUBECONFIG names, else the one in Docker that `make cluster` makes.
# Never the current context of ~/.kube/config, which may be anything.
if [ -z "${KUBECONFIG:-}" ]; then
    KIND=loyalnest
    export KUBECONFIG=$PWD/build/kind.kubeconfig
fi

say() { printf '%s\n' "$*" >&2; }

need() { # need PROGRAM WHERE
    command -v "$1" >/dev/null || { say "$1 is missing: $2"; exit 1; }
}

need kubectl "https://kubernetes.io/docs/tasks/tools/"

# What `make deploy` makes is marked, so that no script lays hands on an installation that others depend on.
MARK=loyalnest.io/demonstration
installation() { # installation: `ours`, `foreign` or `none`
    local found
    found=$(kubectl get namespace loyalnest-system --ignore-not-found \
        -o go-template="found {{with .metadata.labels}}{{index . \"$MARK\"}}{{end}}")
    case $found in "found true") echo ours ;; "") echo none ;; *) echo foreign ;; esac
}
