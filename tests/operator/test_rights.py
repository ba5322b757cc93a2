"""The operator has the rights that its chart gives it, needs no others, and needs every one of them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiException

from fixtures import rights
from fixtures.api_proxy import ApiProxy
from fixtures.charts import Manifest
from fixtures.kubelet import Kubelet, jobs_succeed
from fixtures.kubernetes import ApiServer, ControlPlane
from fixtures.operating import World, until
from loyalnest_operator import names
from loyalnest_operator.deletion import RUNNING
from loyalnest_operator.events import NAMESPACE as DEFAULT
from loyalnest_operator.kinds import NAMESPACE, OWNED, PROGRAM, SECRET, Kind, kind_of
from loyalnest_operator.objects import Ref

SETTINGS = {
    "LOYALNEST_OPERATOR_EXPORTS_CLAIM": "exports",
    "LOYALNEST_OPERATOR_RESYNC_SECONDS": "10",
    "LOYALNEST_OPERATOR_RETRY_SECONDS": "5",
}
_GIVEN = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
"""Fields of a Service that the API server gives it."""


@pytest.fixture(scope="module")
def api_server(control_plane: ControlPlane) -> ApiServer:
    """The module's own: what is in its audit log was done here."""
    return control_plane.api_server


async def test_nothing_is_denied_and_nothing_is_spare(
    control_plane: ControlPlane, world: World, kubelet: Kubelet, tmp_path: Path
) -> None:
    roles = rights.of_chart(world.system)
    rights.install(control_plane.api_server, roles, world.system)
    account = rights.become(control_plane.api_server, world.system, rights.ACCOUNT, tmp_path)
    proxy = ApiProxy(account)
    await proxy.start(tmp_path)
    try:
        await live(world, kubelet, proxy, control_plane.api_server, tmp_path)
    finally:
        await proxy.stop()

    user = rights.user(world.system, rights.ACCOUNT)
    done = [each for each in control_plane.audited() if each["user"]["username"] == user]
    assert rights.denied(done) == []
    given, used = rights.granted(roles), rights.used(done)
    assert named(given - used.keys()) == [], "never used"
    # A cluster may have taken away what Kubernetes gives to everybody.
    assert named(used.keys() - given) == [], "not given by the chart"
    once = [
        each for each in given if each.role.startswith("ClusterRole ") and used[each] in ({world.system}, {DEFAULT})
    ]
    assert named(once) == [], "needed in one namespace only, where a Role can give it"


def named(found: Iterable[rights.Right]) -> list[str]:
    return sorted(map(str, found))


async def test_what_is_denied_is_seen(control_plane: ControlPlane, world: World, tmp_path: Path) -> None:
    stranger = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "stranger"}}
    rights.install(control_plane.api_server, [stranger], world.system)
    account = rights.become(control_plane.api_server, world.system, "stranger", tmp_path)
    with pytest.raises(ApiException):
        account.read("/api/v1/secrets")
    user = rights.user(world.system, "stranger")
    (refusal,) = rights.denied(each for each in control_plane.audited() if each["user"]["username"] == user)
    assert refusal.startswith("list /api/v1/secrets: ")


async def live(world: World, kubelet: Kubelet, proxy: ApiProxy, server: ApiServer, folder: Path) -> None:
    """All that happens to programs, for an operator that reaches the API server by the proxy."""
    small, big, lost = world.name("small"), world.name("big"), world.name("lost")
    async with world.operator(**SETTINGS, KUBECONFIG=str(proxy.kubeconfig)) as operator:
        kubelet.ending = preparation_fails(small)
        await world.make(small)
        await world.make(big, tier="Distributed", deletionPolicy="Delete")
        await world.until(small, "Degraded", reason="PreparationFailed")
        kubelet.ending = jobs_succeed
        for each in (small, big):
            await world.until(each, "Ready")

        await optional_kinds_come(world, big, server, folder)
        await world.until(big, "Ready")
        await drift(world, small)
        await leftovers_go(world, big)
        await world.annotate(small, rotate_passwords="1")
        await world.change(big, suspend=True)
        await world.until(big, "Ready", "False", reason="Suspended")

        for each in (small, big):
            await world.delete(each)
        for each in (small, big):
            await world.until_gone(each)

        await make_with_credentials_elsewhere(world, lost)
        await world.until(lost, "Ready")
        await operator.until_quiet()
        await missed_by_the_watches(world, lost, proxy)


async def make_with_credentials_elsewhere(world: World, program: str) -> None:
    """A program whose credentials are in a namespace of the merchant's."""
    theirs = world.name("theirs")
    await world.make_namespace(theirs)
    secret = {"metadata": {"name": "shopify"}, "stringData": {"apiKey": "key", "apiSecret": "secret"}}
    await world.cluster.create(SECRET, secret, theirs)
    shop = {"domain": f"{program}.myshopify.com", "credentialsSecret": {"name": "shopify", "namespace": theirs}}
    await world.make(program, credentials=False, shop=shop)


def preparation_fails(program: str) -> Callable[[dict[str, Any]], tuple[int, str] | None]:
    """The pods of one program's preparation fail."""

    def ending(pod: dict[str, Any]) -> tuple[int, str] | None:
        ours = pod["metadata"]["namespace"] == names.namespace(program)
        return (1, "no") if ours and jobs_succeed(pod) else jobs_succeed(pod)

    return ending


async def optional_kinds_come(world: World, program: str, server: ApiServer, folder: Path) -> None:
    """KEDA and Prometheus's operator are installed, and the program goes over to them."""
    kinds = [kind for kind in OWNED if kind.optional]
    for kind in kinds:
        path = folder / f"{kind.plural}.yaml"
        path.write_text(yaml.safe_dump(definition(kind)))
        server.install(path)

    async def there() -> bool:
        return {kind.kind for kind in kinds} <= {ref.kind for ref in await world.objects(program)}

    await until(there)


def definition(kind: Kind) -> Manifest:
    """A CustomResourceDefinition that takes whatever the operator writes."""
    version = {
        "name": kind.api_version.rpartition("/")[2],
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "names": {"kind": kind.kind, "plural": kind.plural, "singular": kind.kind.lower()},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


async def drift(world: World, program: str) -> None:
    """Somebody deletes an object, which comes back."""
    kind, namespace = kind_of("v1", "ConfigMap"), names.namespace(program)
    before = await world.live(kind, "loyalnest", namespace)
    await world.cluster.delete(Ref("v1", "ConfigMap", namespace, "loyalnest"))

    async def back() -> bool:
        found = await world.cluster.get(kind, "loyalnest", namespace)
        return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]

    await until(back)


async def leftovers_go(world: World, program: str) -> None:
    """Objects that another version of the operator wanted are pruned: of kinds that otherwise go with the namespace."""
    kinds = [kind for kind in OWNED if kind.kind not in RUNNING and kind is not NAMESPACE]
    namespace, labels = names.namespace(program), names.labels(program)
    for kind in kinds:
        example = (await world.cluster.all_of(kind, namespace, f"{names.PROGRAM}={program}"))[0]
        body = {key: value for key, value in example.items() if key not in ("metadata", "status")}
        if kind.kind == "Service":
            body["spec"] = {key: value for key, value in body["spec"].items() if key not in _GIVEN}
        await world.cluster.create(kind, body | {"metadata": {"name": "leftover", "labels": labels}}, namespace)

    async def gone() -> bool:
        return not [ref for ref in await world.objects(program) if ref.name == "leftover"]

    await until(gone)


async def missed_by_the_watches(world: World, program: str, proxy: ApiProxy) -> None:
    """A program goes while the watches bring nothing: the operator asks for it when its next list has it no more."""
    proxy.freeze()
    await world.cluster.patch(PROGRAM, program, {"metadata": {"finalizers": None}})
    await world.delete(program)

    async def asked() -> bool:
        return proxy.passed["GET", PROGRAM.path(name=program)] > 0

    await until(asked)
