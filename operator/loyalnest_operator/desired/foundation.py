"""What a program's pods stand on: its namespace with bounds, its accounts, its configuration and its secrets."""

from loyalnest.kit.program import ProgramTier
from loyalnest_operator.desired import configuration, preparation
from loyalnest_operator.desired.manifests import manifest, secret
from loyalnest_operator.desired.network import policies
from loyalnest_operator.desired.packing import Packing, pack
from loyalnest_operator.desired.pods import pull_secret
from loyalnest_operator.desired.resources import fitted, total
from loyalnest_operator.facts import Manifest
from loyalnest_operator.generated import APP, OWNER

_JOB_PODS = 4
"""Pods of preparation Jobs that the quota leaves room for: one that runs, and what is left of those before."""

_USUAL_REQUEST = {"cpu": "100m", "memory": "128Mi"}
_USUAL_LIMIT = {"memory": "512Mi"}
"""What the namespace gives a container that somebody else puts there and that asks for nothing."""


def foundation(packing: Packing) -> tuple[Manifest, ...]:
    """The namespace and everything in it that pods need to be there first; for a Pooled program only its document."""
    if packing.pooled:
        return (preparation.document(packing),)
    return (
        _namespace(packing),
        _quota(packing),
        _limits(packing),
        *_accounts(packing),
        _config_map(packing),
        *_secrets(packing),
        preparation.document(packing),
        *policies(packing),
    )


def _namespace(packing: Packing) -> Manifest:
    enforced = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    metadata = {"name": packing.namespace, "labels": packing.labels() | enforced}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _quota(packing: Packing) -> Manifest:
    """Bounds of what the program's pods ask for together.

    They allow each tier, whichever the program has, with every service, also one that is disabled, at its most
    replicas twice: a rollout, and a move between the tiers, run old pods beside new ones, and what is no longer
    wanted goes last.
    """
    facts, spec = packing.facts, packing.program.spec
    services = {name: options.model_copy(update={"enabled": True}) for name, options in spec.services.items()}
    parts = [(_JOB_PODS, fitted(facts.settings.compact_resources, facts.settings.compact_resources))]
    for tier in (ProgramTier.COMPACT, ProgramTier.DISTRIBUTED):
        changed = spec.model_copy(update={"tier": tier, "services": services})
        packed = pack(packing.program.model_copy(update={"spec": changed}), facts)
        parts += [(2 * each.most, each.resources) for each in packed.workloads]
    hard = {
        "pods": str(sum(count for count, _ in parts)),
        "requests.cpu": total(parts, "requests", "cpu"),
        "requests.memory": total(parts, "requests", "memory"),
        "limits.memory": total(parts, "limits", "memory"),
        "services.loadbalancers": "0",
        "services.nodeports": "0",
    }
    return manifest("ResourceQuota", "loyalnest", packing.namespace, packing.labels(), spec={"hard": hard})


def _limits(packing: Packing) -> Manifest:
    item = {"type": "Container", "defaultRequest": dict(_USUAL_REQUEST), "default": dict(_USUAL_LIMIT)}
    return manifest("LimitRange", "loyalnest", packing.namespace, packing.labels(), spec={"limits": [item]})


def _accounts(packing: Packing) -> list[Manifest]:
    """An account for each kind of pod. None has rights at the API server, nor a token to ask it."""
    accounts = [(each.name, each.component) for each in packing.workloads]
    accounts.append((preparation.COMPONENT, preparation.COMPONENT))
    return [
        manifest(
            "ServiceAccount", name, packing.namespace, packing.labels(component), automountServiceAccountToken=False
        )
        for name, component in accounts
    ]


def _config_map(packing: Packing) -> Manifest:
    data = configuration.plain(packing)
    return manifest("ConfigMap", configuration.COMMON, packing.namespace, packing.labels(), data=data)


def _secrets(packing: Packing) -> list[Manifest]:
    contents = {
        configuration.COMMON: configuration.confidential(packing),
        configuration.KEYS_SECRET: {configuration.KEYS_FILE: packing.facts.generated.encryption_keys},
    }
    purposes = (OWNER, APP, *(each.purpose for each in packing.workloads))
    for purpose in dict.fromkeys(purposes):
        contents[configuration.database_secret(purpose)] = configuration.database_variables(packing, purpose)
    secrets = [secret(name, packing.namespace, packing.labels(), values) for name, values in contents.items()]
    for name, content in sorted(packing.facts.pull_secrets.items()):
        values = {".dockerconfigjson": content}
        kind = "kubernetes.io/dockerconfigjson"
        secrets.append(secret(pull_secret(name), packing.namespace, packing.labels(), values, kind))
    return secrets
