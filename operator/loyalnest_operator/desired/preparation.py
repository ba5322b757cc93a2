"""The Job that prepares a program's data: it migrates the database and gives the program to every service.

It is named by a digest of everything that it does and reads, so that a changed rule, secret or image is a new Job, and
an unchanged one is none. Pods of services do not start again for it.
"""

import json
import re
from typing import Any

from loyalnest.kit.program.credentials import write_secret
from loyalnest_operator.desired import configuration
from loyalnest_operator.desired.manifests import MOST_NAME, digest, manifest, secret
from loyalnest_operator.desired.packing import Packing
from loyalnest_operator.desired.pods import KEYS, SecretFiles, container, pod, variables
from loyalnest_operator.desired.resources import fitted
from loyalnest_operator.facts import Manifest
from loyalnest_operator.generated import APP, OWNER

COMPONENT = "prepare"
POOL = "pool"
"""The ConfigMap and the Secret with the variables of the pool's processes, which the pool's chart makes."""

_FILE = "program.yaml"
_FOLDER = "/run/loyalnest/program"
_RETRIES = 2

_ONLY_OPERATORS = {"spec": {"deletion_policy", "services"}, "metadata": {"labels", "annotations"}}
"""What services never read of a program: its change needs no preparation."""

_UNREADABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON may hold as it is, but YAML may not."""


def document(packing: Packing) -> Manifest:
    """The Secret with the program and its credentials as `loyalnest provision` reads them."""
    return secret(_secret_name(packing), packing.namespace, packing.labels(), {_FILE: program_yaml(packing)})


def program_yaml(packing: Packing) -> str:
    """The program and its Secret as two documents. What the program leaves to defaults is left out.

    So a service of an older version does not stumble over fields that it does not know yet.
    """
    program = packing.program.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=_ONLY_OPERATORS)
    credentials = write_secret(packing.program.spec.shop.credentials_secret, packing.facts.credentials)
    # JSON is YAML in which no text can be taken for a number or a date.
    texts = (json.dumps(each, ensure_ascii=False, indent=1, sort_keys=True) for each in (program, credentials))
    return "---\n".join(_UNREADABLE.sub(lambda char: f"\\u{ord(char[0]):04x}", f"{text}\n") for text in texts)


def preparation(packing: Packing) -> tuple[Manifest, ...]:
    """The one Job. In the pool, whose chart migrates, it only provisions."""
    spec = {
        "backoffLimit": _RETRIES,
        "template": {"metadata": {"labels": packing.labels(COMPONENT)}, "spec": _pod(packing)},
    }
    name = _job_name(packing, spec)
    return (manifest("Job", name, packing.namespace, packing.labels(COMPONENT), api="batch/v1", spec=spec),)


def _pod(packing: Packing) -> dict[str, Any]:
    files = [SecretFiles(_secret_name(packing), _FOLDER)]
    if packing.pooled:
        sources = [{"configMapRef": {"name": POOL}}, {"secretRef": {"name": POOL}}]
        provision = _container(packing, "provision", sources, files)
        return pod(packing, files, restartPolicy="Never", containers=[provision])
    files = [KEYS, *files]
    return pod(
        packing,
        files,
        restartPolicy="Never",
        serviceAccountName=COMPONENT,
        initContainers=[_container(packing, "migrate", variables(OWNER), [KEYS])],
        containers=[_container(packing, "provision", variables(APP), files)],
    )


def _container(
    packing: Packing, command: str, sources: list[dict[str, Any]], files: list[SecretFiles]
) -> dict[str, Any]:
    usual = packing.facts.settings.compact_resources
    found = container(
        packing,
        command,
        ["loyalnest", command],
        variables=sources,
        files=files,
        resources=fitted(usual, usual),
    )
    if command == "provision":
        found["env"] = [{"name": "LOYALNEST_PROGRAMS", "value": json.dumps([f"{_FOLDER}/{_FILE}"])}]
    return found


def _job_name(packing: Packing, spec: dict[str, Any]) -> str:
    read: list[Any] = [spec, program_yaml(packing)]
    if not packing.pooled:
        read += [configuration.plain(packing), configuration.confidential(packing)]
        read += [configuration.database_variables(packing, purpose) for purpose in (OWNER, APP)]
    end = f"-{digest(read)}"
    begin = f"prepare-{packing.name}" if packing.pooled else "prepare"
    return begin[: MOST_NAME - len(end)] + end


def _secret_name(packing: Packing) -> str:
    """In the pool's namespace there is one for each program."""
    return f"{packing.name}-program" if packing.pooled else "program"
