#!/usr/bin/env bash
# Applies the demo's merchants and waits until they are served: `make demo`.
set -euo pipefail
cd "$(dirname "$0")/.."
. clusters/common.sh

kubectl apply -f clusters/demo/acme.yaml -f clusters/demo/brew.yaml
kubectl wait --for=condition=Ready --timeout=10m loyaltyprogram/acme loyaltyprogram/brew || {
    kubectl get loyaltyprograms -o wide
    exit 1
}
kubectl get loyaltyprograms
say "Acme's gateway: kubectl -n loyalnest-acme port-forward service/loyalnest 8080 (export KUBECONFIG=$KUBECONFIG)"
