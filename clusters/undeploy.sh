#!/usr/bin/env bash
# Removes what `make deploy` installed, with the programs and all data: `make undeploy`.
set -euo pipefail
cd "$(dirname "$0")/.."
. clusters/common.sh
HELM=${HELM:-helm}
need "$HELM" "https://helm.sh/docs/intro/install/"

there=$(installation)
if [ "$there" != ours ]; then
    say "There is no loyalnest-system of make deploy: remove anything else with helm, if you mean it."
    exit 1
fi

# While the operator still runs: it removes what belongs to the programs.
if kubectl get crd loyaltyprograms.loyalnest.io >/dev/null 2>&1; then
    kubectl delete loyaltyprograms --all --timeout=10m
fi
for release in loyalnest-operator/loyalnest-system pool/loyalnest-pool backing/loyalnest-backing; do
    "$HELM" uninstall "${release%/*}" -n "${release#*/}" --ignore-not-found --wait
done
kubectl delete crd loyaltyprograms.loyalnest.io --ignore-not-found
kubectl delete namespace loyalnest-system loyalnest-pool loyalnest-backing --ignore-not-found
