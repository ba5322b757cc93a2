"""What others do to a program's objects: put right, left alone, or reported, as it should be."""

from typing import Any

import pytest

from fixtures.kubelet import Kubelet
from fixtures.operating import Object, Operator, World, until
from loyalnest_operator import names
from loyalnest_operator.kinds import DEPLOYMENT, NAMESPACE, kind_of
from loyalnest_operator.objects import Ref

CONFIG_MAP = kind_of("v1", "ConfigMap")
SOMEBODY = "c29tZWJvZHk="


def config_map(program: str, name: str = "loyalnest") -> Ref:
    return Ref("v1", "ConfigMap", names.namespace(program), name)


async def settled(world: World, operator: Operator, program: str) -> float:
    """Wait until all is as the program says, and stays so; the number of writes so far."""
    await world.until(program, "Ready")
    return await operator.until_quiet()


async def until_back(world: World, ref: Ref, section: str, value: Any) -> None:
    """Wait until a section of an object is again what it was."""
    kind = kind_of(ref.api_version, ref.kind)
    seen: list[Any] = []

    async def check() -> bool:
        live = await world.cluster.get(kind, ref.name, ref.namespace)
        seen[:] = [(live or {}).get(section)]
        return live is not None and live.get(section) == value

    try:
        await until(check)
    except TimeoutError:
        raise AssertionError(f"{ref} has {section} {seen}, should have {value}") from None


async def test_deleted_objects_come_back(world: World, kubelet: Kubelet) -> None:
    name = world.name()
    await world.make(name, tier="Distributed")
    async with world.operator() as operator:
        await settled(world, operator, name)
        namespace = names.namespace(name)
        before = {ref: each for ref, each in (await world.objects(name)).items() if ref.namespace == namespace}
        assert {ref.kind for ref in before} > {"Deployment", "Service", "Secret", "Job", "HorizontalPodAutoscaler"}
        for ref in before:
            await world.cluster.delete(ref)

        async def back() -> bool:
            there = {ref: each["metadata"]["uid"] for ref, each in (await world.objects(name)).items()}
            return all(
                there.get(ref, each["metadata"]["uid"]) != each["metadata"]["uid"] for ref, each in before.items()
            )

        await until(back)
        await settled(world, operator, name)


async def test_a_deleted_namespace_comes_back_with_all_that_is_in_it(world: World, kubelet: Kubelet) -> None:
    name = world.name()
    await world.make(name)
    async with world.operator() as operator:
        await settled(world, operator, name)
        before = await world.objects(name)
        uid = before[Ref("v1", "Namespace", "", names.namespace(name))]["metadata"]["uid"]
        await world.cluster.delete(Ref("v1", "Namespace", "", names.namespace(name)))

        async def back() -> bool:
            live = await world.cluster.get(NAMESPACE, names.namespace(name))
            return live is not None and live["metadata"]["uid"] != uid

        await until(back)
        await settled(world, operator, name)
        assert set(await world.objects(name)) == set(before)


def changes_of(objects: dict[Ref, Object]) -> list[tuple[Ref, str, Object]]:
    """One change for the first object of every kind that can be changed: the section of it, and what is merged."""
    first: dict[str, Ref] = {}
    for ref in objects:
        if ref.namespace.startswith("loyalnest-") or ref.kind == "Namespace":
            first.setdefault(ref.kind, ref)
    changes: dict[str, Object] = {
        "Namespace": {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}},
        "ResourceQuota": {"spec": {"hard": {"pods": "1"}}},
        "LimitRange": {"spec": {"limits": [{"type": "Container", "default": {"memory": "1Mi"}}]}},
        "ServiceAccount": {"automountServiceAccountToken": True},
        "ConfigMap": {"data": {"LOYALNEST_HOST": None}},
        "Secret": {"data": {next(iter(objects[first["Secret"]]["data"])): SOMEBODY}},
        "Service": {"spec": {"selector": {"app": "somebody"}}},
        "NetworkPolicy": {"spec": {"egress": [{}], "ingress": [{}], "policyTypes": ["Ingress", "Egress"]}},
        "Deployment": {"spec": {"template": {"spec": {"serviceAccountName": "default"}}}},
        "HorizontalPodAutoscaler": {"spec": {"maxReplicas": 99}},
        "PodDisruptionBudget": {"spec": {"maxUnavailable": 100}},
        "Ingress": {"spec": {"rules": [{"host": "somebody.example.com"}]}},
    }
    assert set(first) - {"Job"} == set(changes)
    sections = {"Namespace": "metadata", "ServiceAccount": "automountServiceAccountToken"}
    return [(first[kind], sections.get(kind, next(iter(change))), change) for kind, change in changes.items()]


async def test_changed_fields_are_put_right_and_told_once(world: World, kubelet: Kubelet) -> None:
    name = world.name()
    await world.make(name, tier="Distributed")
    async with world.operator() as operator:
        await settled(world, operator, name)
        objects = await world.objects(name)
        for ref, section, change in changes_of(objects):
            value = objects[ref][section]
            await world.change_object(ref, change)
            if section == "metadata":
                live = await labels_back(world, ref, value["labels"])
                assert live["metadata"]["labels"] == value["labels"]
            else:
                await until_back(world, ref, section, value)
        await settled(world, operator, name)
        notes = await world.events(name, "DriftCorrected")
        told = {ref: [each for each in notes if each.startswith(f"{ref} was")] for ref, *_ in changes_of(objects)}
        assert {ref: len(each) for ref, each in told.items()} == dict.fromkeys(told, 1)
        assert not any(SOMEBODY in each or SOMEBODY in operator.log() for each in notes)


async def labels_back(world: World, ref: Ref, labels: Object) -> Object:
    """Wait until an object has its labels again; the object."""

    async def check() -> Object | None:
        live = await world.cluster.get(kind_of(ref.api_version, ref.kind), ref.name, ref.namespace)
        return live if live is not None and labels.items() <= live["metadata"].get("labels", {}).items() else None

    found: Object = await until(check)
    return found


@pytest.mark.parametrize("label", [names.PROGRAM, names.MANAGED_BY])
@pytest.mark.parametrize("value", [None, "somebody"])
async def test_labels_by_which_objects_are_known_come_back(
    world: World, kubelet: Kubelet, label: str, value: str | None
) -> None:
    name = world.name()
    await world.make(name)
    async with world.operator() as operator:
        await settled(world, operator, name)
        ref = config_map(name)
        labels = (await world.live(CONFIG_MAP, ref.name, ref.namespace))["metadata"]["labels"]
        await world.change_object(ref, {"metadata": {"labels": {label: value}}})
        await labels_back(world, ref, labels)
        await settled(world, operator, name)


async def test_what_others_add_stays_and_costs_no_write(world: World, kubelet: Kubelet) -> None:
    name = world.name()
    await world.make(name, tier="Distributed")
    async with world.operator() as operator:
        await settled(world, operator, name)
        namespace = names.namespace(name)
        scaler = next(ref for ref in await world.objects(name) if ref.kind == "HorizontalPodAutoscaler")
        deployment, budget = Ref("apps/v1", "Deployment", namespace, scaler.name), config_map(name)
        before = await operator.metric('loyalnest_operator_api_calls_total{code="200",kind="Deployment",verb="PATCH"')
        sidecar = {
            "name": "proxy",
            "image": "proxy:1",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        added = {"metadata": {"annotations": {"team": "a"}, "labels": {"team": "a"}}}
        await world.change_object(deployment, added)
        await world.apply_object(deployment, {"spec": {"template": {"spec": {"containers": [sidecar]}}}}, "kubectl")
        await world.change_object(deployment, {"spec": {"replicas": 2}}, "autoscaler", "scale")
        await world.change_object(budget, {"data": {"TEAM": "a"}})

        async def rolled() -> bool:
            live: Object = await world.live(DEPLOYMENT, deployment.name, namespace)
            status = live["status"]
            counts = [status.get(each) for each in ("updatedReplicas", "availableReplicas", "replicas")]
            return status.get("observedGeneration") == live["metadata"]["generation"] and counts == [2, 2, 2]

        await until(rolled)
        writes = await settled(world, operator, name)
        await world.annotate(name, note="look again")
        assert await settled(world, operator, name) == writes
        after = await operator.metric('loyalnest_operator_api_calls_total{code="200",kind="Deployment",verb="PATCH"')
        live = await world.live(DEPLOYMENT, deployment.name, namespace)
        assert {each["name"] for each in live["spec"]["template"]["spec"]["containers"]} == {"loyalnest", "proxy"}
        assert (live["spec"]["replicas"], live["metadata"]["labels"]["team"]) == (2, "a")
        assert (await world.live(CONFIG_MAP, budget.name, namespace))["data"]["TEAM"] == "a"
        assert after == before
        assert await world.events(name, "DriftCorrected") == []


async def test_a_field_that_somebody_means_to_keep_is_reported_and_holds_up_nothing_else(
    world: World, kubelet: Kubelet
) -> None:
    name = world.name()
    await world.make(name)
    async with world.operator() as operator:
        await settled(world, operator, name)
        ref = config_map(name)
        value = (await world.live(CONFIG_MAP, ref.name, ref.namespace))["data"]
        deployment = Ref("apps/v1", "Deployment", ref.namespace, "loyalnest")
        template = (await world.live(DEPLOYMENT, deployment.name, ref.namespace))["spec"]
        await world.apply_object(ref, {"data": {"LOYALNEST_HOST": "::"}}, "team-a")
        said = await world.until(name, "Degraded", reason="FieldConflict")
        assert '"team-a"' in said["message"]
        assert ".data.LOYALNEST_HOST" in said["message"]
        assert f"ConfigMap {ref.namespace}/loyalnest" in said["message"]
        await world.change_object(deployment, {"spec": {"template": {"spec": {"serviceAccountName": "default"}}}})
        await until_back(world, deployment, "spec", template)
        await world.until(name, "Degraded", reason="FieldConflict")
        assert (await world.live(CONFIG_MAP, ref.name, ref.namespace))["data"]["LOYALNEST_HOST"] == "::"
        await world.apply_object(ref, {}, "team-a")
        await until_back(world, ref, "data", value)
        await settled(world, operator, name)
        assert (await world.conditions(name))["Degraded"]["status"] == "False"


async def test_what_was_there_before_is_adopted_pruned_or_left(world: World, kubelet: Kubelet) -> None:
    name = world.name()
    namespace = names.namespace(name)
    await world.make_namespace(namespace, **names.labels(name))
    for each, labels in (("loyalnest", names.labels(name)), ("stray", names.labels(name)), ("theirs", {})):
        metadata = {"name": each, "namespace": namespace, "labels": labels}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"LOYALNEST_HOST": "old"}}
        await world.cluster._call("POST", CONFIG_MAP, CONFIG_MAP.path(namespace), {"fieldManager": "somebody"}, body)
    await world.make(name)
    async with world.operator() as operator:
        await settled(world, operator, name)
        found = {each["metadata"]["name"]: each for each in await world.cluster.all_of(CONFIG_MAP, namespace)}
        assert found["loyalnest"]["data"]["LOYALNEST_HOST"] == "0.0.0.0"  # noqa: S104 - what services listen on
        assert "stray" not in found
        assert found["theirs"]["data"] == {"LOYALNEST_HOST": "old"}


async def test_what_is_no_longer_desired_is_pruned(world: World, kubelet: Kubelet) -> None:
    name = world.name()
    await world.make(name, tier="Distributed")
    async with world.operator() as operator:
        await settled(world, operator, name)
        disabled = Ref("apps/v1", "Deployment", names.namespace(name), "rfm")
        before = await world.objects(name)
        await world.change(name, services={"rfm": {"enabled": False}})

        async def pruned() -> bool:
            return disabled not in await world.objects(name)

        await until(pruned)
        await settled(world, operator, name)
        gone = set(before) - set(await world.objects(name))
        assert {ref.kind for ref in gone} >= {"Deployment", "Service", "Job"}


async def test_a_namespace_is_taken_over_when_it_is_handed_over(world: World, kubelet: Kubelet) -> None:
    name = world.name()
    await world.make_namespace(names.namespace(name), team="a")
    await world.make(name)
    async with world.operator() as operator:
        said = await world.until(name, "Degraded", reason="NamespaceTaken")
        command = said["message"].partition("kubectl label namespace ")[2].split()
        labels = dict(each.split("=") for each in command[1:])
        assert (command[0], names.PROGRAM in labels) == (names.namespace(name), True)
        await world.change_object(Ref("v1", "Namespace", "", command[0]), {"metadata": {"labels": labels}})
        await settled(world, operator, name)
        live = await world.live(NAMESPACE, command[0])
        assert live["metadata"]["labels"]["team"] == "a"
