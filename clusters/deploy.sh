#!/usr/bin/env bash
# Installs the stores, the pool and the operator with the values of clusters/values/dev: `make deploy`. Safe to run again.
# REGISTRY and TAG name the images; HELM the program.
set -euo pipefail
cd "$(dirname "$0")/.."
. clusters/common.sh
REGISTRY=${REGISTRY:-loyalnest} TAG=${TAG:-dev} HELM=${HELM:-helm}
need "$HELM" "https://helm.sh/docs/intro/install/"

there=$(installation)
if [ "$there" = foreign ]; then
    say "The namespace loyalnest-system is there and not of make deploy: use helm for an installation that matters."
    exit 1
fi

stored() { # stored KEY: what the stores' chart has generated
    kubectl -n loyalnest-backing get secret backing -o go-template="{{index .data \"$1\" | base64decode}}"
}

install() { # install RELEASE CHART NAMESPACE VALUES OPTION…
    say "Installing $1 in $3"
    "$HELM" upgrade --install "$1" "charts/$2" -n "$3" -f "clusters/values/dev/$4.yaml" \
        --set image.repository="$REGISTRY/loyalnest" --set-string image.tag="$TAG" "${@:5}" --wait --timeout 10m >/dev/null
}

if [ -n "${KIND:-}" ]; then
    kind load docker-image --name "$KIND" "$REGISTRY"/{loyalnest,postgresql,redis,kafka}:"$TAG"
fi

for namespace in loyalnest-backing loyalnest-pool loyalnest-system; do
    kubectl apply -f - >/dev/null <<END
apiVersion: v1
kind: Namespace
metadata: {name: $namespace, labels: {pod-security.kubernetes.io/enforce: restricted, $MARK: "true"}}
END
done

stores=()
for store in postgresql redis kafka; do
    stores+=(--set "$store.image.repository=$REGISTRY/$store" --set-string "$store.image.tag=$TAG")
done
install backing loyalnest-backing loyalnest-backing backing "${stores[@]}"

# Secrets go through standard input: arguments can be read by everybody on the machine.
kubectl apply -f - >/dev/null <<END
apiVersion: v1
kind: Secret
metadata: {name: loyalnest-stores, namespace: loyalnest-system}
stringData:
  LOYALNEST_OPERATOR_POSTGRES_URL: "$(stored postgres-url)"
  LOYALNEST_OPERATOR_REDIS_URL: "$(stored redis-url)"
END
# The key that opens the merchants' data is made once and never again.
keys=$(kubectl -n loyalnest-pool get secret pool --ignore-not-found \
    -o go-template='{{index .data "LOYALNEST_ENCRYPTION_KEYS" | base64decode}}')
kubectl apply -f - >/dev/null <<END
apiVersion: v1
kind: Secret
metadata: {name: pool, namespace: loyalnest-pool}
stringData:
  LOYALNEST_DATABASE_URL: "$(stored pool-database-url)"
  LOYALNEST_REDIS_URL: "$(stored redis-url)"
  LOYALNEST_ENCRYPTION_KEYS: "${keys:-first:$(openssl rand -base64 32)}"
END
install pool loyalnest loyalnest-pool pool
install loyalnest-operator loyalnest-operator loyalnest-system operator
say "Installed. Next: make demo, or kubectl apply a LoyaltyProgram of yours (export KUBECONFIG=$KUBECONFIG)."
