"""The Job of the operator's namespace that exports a program's data before its database is dropped."""

from loyalnest_operator import names
from loyalnest_operator.desired.manifests import manifest, secret
from loyalnest_operator.desired.packing import Packing
from loyalnest_operator.desired.pods import container, pod
from loyalnest_operator.desired.resources import fitted
from loyalnest_operator.facts import Manifest

COMPONENT = "export"
_FOLDER = "/exports"
_RETRIES = 3


def folder(program: str, uid: str) -> str:
    """Where in the claim the export of one life of a program goes: two of the same name do not meet."""
    return f"{program}-{uid}"


def export_objects(packing: Packing, uid: str, database_url: str) -> tuple[Manifest, ...]:
    """The Secret with the address of the database, and the Job. `uid` is the program's."""
    settings, labels = packing.facts.settings, packing.labels(COMPONENT)
    name = names.export(packing.name)
    usual = settings.compact_resources
    process = container(
        packing,
        "export",
        ["loyalnest", "export", packing.name, f"{_FOLDER}/{folder(packing.name, uid)}"],
        variables=[{"secretRef": {"name": name}}],
        files=[],
        resources=fitted(usual, usual),
    )
    process["volumeMounts"].append({"name": "exports", "mountPath": _FOLDER})
    spec = pod(packing, [], restartPolicy="Never", containers=[process])
    spec["volumes"].append({"name": "exports", "persistentVolumeClaim": {"claimName": settings.exports_claim}})
    spec["imagePullSecrets"] = [{"name": each} for each in settings.image_pull_secrets]
    if not settings.image_pull_secrets:
        del spec["imagePullSecrets"]
    job = manifest(
        "Job",
        name,
        settings.namespace,
        labels,
        api="batch/v1",
        spec={"backoffLimit": _RETRIES, "template": {"metadata": {"labels": labels}, "spec": spec}},
    )
    return secret(name, settings.namespace, labels, {"LOYALNEST_DATABASE_URL": database_url}), job
