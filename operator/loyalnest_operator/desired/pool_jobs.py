"""Jobs of the pool's namespace: a program's data moves into the pool or out of it, or is erased there.

They have the variables of the pool's processes from its chart's objects, and those of the program's own place from a
Secret beside them; whichever is not the place that a command works on goes behind OTHER_. A `token` tells a Job from
one that did the same before.
"""

from collections.abc import Sequence
from typing import Any

from loyalnest_operator.desired import configuration
from loyalnest_operator.desired.manifests import MOST_NAME, digest, manifest, secret
from loyalnest_operator.desired.packing import Packing
from loyalnest_operator.desired.pods import container, pod
from loyalnest_operator.desired.preparation import POOL
from loyalnest_operator.desired.resources import fitted
from loyalnest_operator.facts import Manifest
from loyalnest_operator.generated import OWNER

COMPONENT = "move"
_OTHER = "OTHER_"
_RETRIES = 2
_OF_PROCESSES = ("LOYALNEST_ENCRYPTION_KEYS_FILE", "LOYALNEST_PEERS")
"""Variables that make sense in the program's own pods only."""

Sources = list[dict[str, Any]]


def into_pool(pool: Packing, own: Packing, token: str) -> tuple[Manifest, ...]:
    """Copy the data from the program's own place into the pool."""
    steps = [_step(pool, "move", ["move", own.name], _own(own) + _pool(_OTHER))]
    return _place(pool, own), _job(pool, "move", steps, [_environment(own), token])


def out_of_pool(pool: Packing, own: Packing, token: str) -> tuple[Manifest, ...]:
    """Migrate the program's own place, and copy the data there."""
    steps = [
        _step(pool, "migrate", ["migrate"], _own(own)),
        _step(pool, "move", ["move", own.name], _pool() + _own(own, _OTHER)),
    ]
    return _place(pool, own), _job(pool, "move", steps, [_environment(own), token])


def clear_pool(pool: Packing, own: Packing, token: str) -> tuple[Manifest, ...]:
    """Send after a program what came to the pool too late, and erase its rows there."""
    steps = [
        _step(pool, "forward", ["forward", own.name], _pool() + _own(own, _OTHER)),
        _step(pool, "erase", ["erase", own.name, "--yes"], _pool()),
    ]
    return _place(pool, own), _job(pool, "clear", steps, [_environment(own), token])


def clear_own(pool: Packing, own: Packing, token: str) -> tuple[Manifest, ...]:
    """Send after a program what came to its own place too late."""
    steps = [_step(pool, "forward", ["forward", own.name], _own(own) + _pool(_OTHER))]
    return _place(pool, own), _job(pool, "clear", steps, [_environment(own), token])


def close(pool: Packing, token: str) -> Manifest:
    """Take nothing of a Pooled program any more."""
    return _job(pool, "close", [_step(pool, "close", ["close", pool.name], _pool())], token)


def erase(pool: Packing, token: str) -> Manifest:
    """Erase a program's rows in the pool."""
    return _job(pool, "erase", [_step(pool, "erase", ["erase", pool.name, "--yes"], _pool())], token)


def _environment(own: Packing) -> dict[str, str]:
    found = configuration.plain(own) | configuration.confidential(own) | configuration.database_variables(own, OWNER)
    found |= {"LOYALNEST_ENCRYPTION_KEYS": own.facts.generated.encryption_keys}
    return {name: value for name, value in found.items() if name not in _OF_PROCESSES}


def _place(pool: Packing, own: Packing) -> Manifest:
    return secret(_place_name(own), pool.namespace, pool.labels(COMPONENT), _environment(own))


def _place_name(own: Packing) -> str:
    return f"{own.name}-place"


def _pool(prefix: str = "") -> Sources:
    more = {"prefix": prefix} if prefix else {}
    return [{"configMapRef": {"name": POOL}} | more, {"secretRef": {"name": POOL}} | more]


def _own(own: Packing, prefix: str = "") -> Sources:
    return [{"secretRef": {"name": _place_name(own)}} | ({"prefix": prefix} if prefix else {})]


def _step(pool: Packing, name: str, arguments: Sequence[str], sources: Sources) -> dict[str, Any]:
    usual = pool.facts.settings.compact_resources
    resources = fitted(usual, usual)
    return container(pool, name, ["loyalnest", *arguments], variables=sources, files=[], resources=resources)


def _job(pool: Packing, kind: str, steps: list[dict[str, Any]], read: object) -> Manifest:
    """Named by a digest of what it does and reads, so that another wish is another Job."""
    parts = {"initContainers": steps[:-1]} if steps[1:] else {}
    template = {
        "metadata": {"labels": pool.labels(COMPONENT)},
        "spec": pod(pool, [], restartPolicy="Never", containers=steps[-1:], **parts),
    }
    spec = {"backoffLimit": _RETRIES, "template": template}
    end = f"-{digest([spec, read])}"
    name = f"{kind}-{pool.name}"[: MOST_NAME - len(end)] + end
    return manifest("Job", name, pool.namespace, pool.labels(COMPONENT), api="batch/v1", spec=spec)
