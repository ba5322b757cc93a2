#!/usr/bin/env bash
# Makes sure that there is a cluster to deploy to: `make cluster`.
set -euo pipefail
cd "$(dirname "$0")/.."
. clusters/common.sh

if [ -n "${KIND:-}" ]; then
    need docker "https://docs.docker.com/engine/install/, or set KUBECONFIG to a cluster of yours"
    need kind "https://kind.sigs.k8s.io/, or set KUBECONFIG to a cluster of yours"
    mkdir -p build
    if kind get clusters 2>/dev/null | grep -qx "$KIND"; then
        kind export kubeconfig --name "$KIND" --kubeconfig "$KUBECONFIG"
    else
        kind create cluster --config clusters/kind.yaml --kubeconfig "$KUBECONFIG" --wait 3m
    fi
fi
kubectl get nodes
