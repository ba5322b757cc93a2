"""What the cache keeps of the news that it gets, in whatever order they come."""

from typing import Any

import pytest

from loyalnest_operator import names
from loyalnest_operator.cache import Cache, State, state_of
from loyalnest_operator.facts import Manifest
from loyalnest_operator.objects import Ref, ref_of

REF = Ref("v1", "ConfigMap", "loyalnest-acme", "loyalnest")


def config_map(version: int, program: str = "acme", **data: str) -> Manifest:
    metadata = {
        "name": REF.name,
        "namespace": REF.namespace,
        "labels": names.labels(program) if program else {},
        "resourceVersion": str(version),
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def program(version: int, name: str = "acme", domain: str = "", created: str = "2026-01-01", **more: Any) -> Manifest:
    metadata = {"name": name, "resourceVersion": str(version), "uid": name, "creationTimestamp": created}
    spec = {"shop": {"domain": domain or f"{name}.myshopify.com"}}
    return {"metadata": metadata | more.pop("metadata", {}), "spec": spec} | more


def ready(reason: str = "AsDesired", status: str = "True") -> Manifest:
    return {"conditions": [{"type": "Ready", "status": status, "reason": reason}]}


def test_news_wake_their_program_once() -> None:
    cache = Cache()
    assert cache.see_object(config_map(1, a="1"), deleted=False) == ["acme"]
    cache.settle("acme", REF)
    assert cache.see_object(config_map(1, a="1"), deleted=False) == []
    assert cache.see_object(config_map(2, a="1"), deleted=False) == []
    assert cache.see_object(config_map(3, a="2"), deleted=False) == ["acme"]


def test_the_answer_to_an_apply_is_right_as_it_is_and_older_news_do_not_count() -> None:
    cache = Cache()
    cache.applied(config_map(7, a="new"))
    assert cache.see_object(config_map(5, a="old"), deleted=False) == []
    assert cache.see_object(config_map(6, a="old"), deleted=True) == []
    seen = cache.objects("acme")[REF]
    assert (seen.version, seen.unchecked, seen.content) == (7, False, None)
    assert cache.see_object(config_map(7, a="new"), deleted=False) == []


def test_content_is_kept_until_it_was_looked_at_and_found_right() -> None:
    cache = Cache()
    cache.see_object(config_map(1, a="1"), deleted=False)
    assert cache.objects("acme")[REF].content is not None
    cache.settle("acme", REF)
    assert cache.objects("acme")[REF].content is None
    cache.see_object(config_map(2, a="2"), deleted=False)
    assert cache.objects("acme")[REF].unchecked
    cache.see_object(config_map(3, a="1"), deleted=False)  # somebody put it back
    assert not cache.objects("acme")[REF].unchecked
    assert cache.objects("acme")[REF].content is None


def test_a_deleted_object_is_forgotten_and_wakes_its_program() -> None:
    cache = Cache()
    cache.see_object(config_map(1), deleted=False)
    assert cache.see_object(config_map(2), deleted=True) == ["acme"]
    assert cache.objects("acme") == {}
    assert cache.see_object(config_map(2), deleted=True) == []


def test_an_object_that_is_being_deleted_wakes_its_program() -> None:
    cache = Cache()
    cache.applied(config_map(1))
    leaving = config_map(2)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert cache.see_object(leaving, deleted=False) == ["acme"]
    assert cache.objects("acme")[REF].deleting


@pytest.mark.parametrize(("label", "woken"), [("", ["acme"]), ("other", ["acme", "other"])])
def test_an_object_whose_label_is_changed_is_gone_to_its_program(label: str, woken: list[str]) -> None:
    cache = Cache()
    cache.applied(config_map(1))
    assert cache.see_object(config_map(2, label), deleted=False) == woken
    assert cache.objects("acme") == {}
    assert list(cache.objects("other")) == ([REF] if label else [])
    cache.applied(config_map(3))
    assert list(cache.objects("acme")) == [REF]
    assert cache.objects("other") == {}


def test_what_belongs_to_nobody_is_not_kept() -> None:
    cache = Cache()
    assert cache.see_object(config_map(1, ""), deleted=False) == []
    assert cache.see_object(config_map(2, ""), deleted=True) == []
    assert cache.objects("") == {}


def test_a_list_forgets_what_it_does_not_have_unless_that_is_newer() -> None:
    cache = Cache()
    old, new = config_map(5), config_map(9)
    new["metadata"]["name"] = "new"
    cache.applied(old)
    cache.applied(new)
    assert cache.missed("ConfigMap", {ref_of(old)}, 7) == []
    assert cache.missed("Secret", set(), 7) == []
    assert cache.missed("ConfigMap", set(), 7) == ["acme"]
    assert list(cache.objects("acme")) == [ref_of(new)]


def test_programs_are_woken_by_their_wish_and_not_by_their_status() -> None:
    cache = Cache()
    assert cache.see_program(program(1), deleted=False)
    assert not cache.see_program(program(2, status=ready()), deleted=False)
    assert cache.see_program(program(3, metadata={"annotations": {"a": "b"}}), deleted=False)
    assert cache.see_program(program(4, metadata={"generation": 2}), deleted=False)


def test_news_of_a_program_that_are_older_than_our_own_write_do_not_count() -> None:
    cache = Cache()
    cache.see_program(program(5, status=ready()), deleted=False)
    generation = cache.generation
    assert not cache.see_program(program(4, status=ready("Starting", "False")), deleted=False)
    assert cache.programs["acme"].ready
    assert cache.generation == generation
    assert cache.see_program(program(6), deleted=True)
    assert cache.programs == {}


def test_the_fleet_hears_of_what_its_upgrade_depends_on_only() -> None:
    cache = Cache()
    cache.see_program(program(1, status=ready()), deleted=False)
    generation = cache.generation
    cache.see_program(program(2, status=ready("StillAsDesired")), deleted=False)
    assert cache.generation == generation
    for version, status in enumerate(
        [ready("Starting", "False"), ready("ServicesFailed", "False"), ready("Paused", "False"), {"image": "l:2"}], 3
    ):
        cache.see_program(program(version, status=status), deleted=False)
        assert cache.generation > generation
        generation = cache.generation


@pytest.mark.parametrize(
    ("reason", "failed", "aside"),
    [
        ("PreparationFailed", True, False),
        ("CredentialsMissing", False, True),
        ("Unavailable", False, False),
        ("Starting", False, False),
    ],
)
def test_why_a_program_is_not_ready_decides_what_it_means_to_the_fleet(reason: str, failed: bool, aside: bool) -> None:
    cache = Cache()
    cache.see_program(program(1, status=ready(reason, "False")), deleted=False)
    entry = cache.programs["acme"]
    assert (entry.failed, entry.aside, entry.ready) == (failed, aside, False)


def test_a_shop_belongs_to_the_oldest_program() -> None:
    cache = Cache()
    shop = "shop.myshopify.com"
    assert cache.owner_of(shop) == ""
    for number, (name, created) in enumerate([("b", "2026-01-02"), ("c", "2026-01-01"), ("a", "2026-01-02")], 1):
        cache.see_program(program(number, name, shop, created), deleted=False)
    assert cache.owner_of(shop) == "c"
    assert cache.sharing(shop) == {"a", "b", "c"}
    cache.see_program(program(4, "c", shop), deleted=True)
    assert cache.owner_of(shop) == "a"  # made in the same second: by name
    cache.see_program(program(5, "a", "other.myshopify.com"), deleted=False)
    assert cache.owner_of(shop) == "b"


def deployment(generation: int = 1, wanted: int = 2, **status: Any) -> Manifest:
    return {
        "kind": "Deployment",
        "metadata": {"generation": generation},
        "spec": {"replicas": wanted},
        "status": {"observedGeneration": 1} | status,
    }


COMPLETE = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


@pytest.mark.parametrize(
    ("live", "state"),
    [
        (deployment(**COMPLETE), State(ready=True)),
        (deployment(generation=2, **COMPLETE), State(ready=False)),
        (deployment(**COMPLETE | {"availableReplicas": 1}), State(ready=False)),
        (deployment(**COMPLETE | {"replicas": 3}), State(ready=False)),
        (deployment(wanted=0), State(ready=True)),
        (deployment(), State(ready=False)),
        (
            deployment(**COMPLETE, conditions=[{"type": "Progressing", "status": "False", "message": "deadline"}]),
            State(ready=False, failed="deadline"),
        ),
        ({"kind": "Job", "status": {"conditions": [{"type": "Complete", "status": "True"}]}}, State(ready=True)),
        ({"kind": "Job", "status": {"conditions": [{"type": "Complete", "status": "False"}]}}, State(ready=False)),
        (
            {"kind": "Job", "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "Limit"}]}},
            State(ready=False, failed="Limit"),
        ),
        ({"kind": "Job"}, State(ready=False)),
        ({"kind": "ConfigMap"}, State(ready=True)),
    ],
)
def test_how_far_an_object_is(live: Manifest, state: State) -> None:
    assert state_of(live) == state


def test_what_a_controller_made_with_our_labels_is_not_ours() -> None:
    cache = Cache()
    owners = [{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "x", "uid": "u", "controller": True}]
    live = config_map(5)
    live["metadata"]["ownerReferences"] = owners
    assert cache.see_object(live, deleted=False) == []
    assert cache.objects("acme") == {}
