"""Comparing what is there with what is wanted."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest_operator.names import DESIRED_HASH
from loyalnest_operator.objects import changes, contains, content, differences, digest, ref_of, with_hash

SCALARS = st.one_of(st.booleans(), st.integers(), st.text(max_size=5))
TREES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "name", "c"]), inner),
    max_leaves=12,
)


def deployment(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}, "spec": spec}


@given(TREES)
def test_everything_contains_itself(tree: Any) -> None:
    assert contains(tree, copy.deepcopy(tree))
    assert differences(tree, copy.deepcopy(tree)) == []


@given(TREES, TREES)
def test_there_are_differences_exactly_where_it_is_not_contained(live: Any, desired: Any) -> None:
    assert bool(differences(live, desired)) is not contains(live, desired)


@given(st.dictionaries(st.text(max_size=3), TREES), st.dictionaries(st.text(max_size=3), TREES))
def test_what_others_add_to_a_mapping_is_theirs(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert contains(theirs | ours, ours)


def test_named_things_are_compared_by_name_and_others_may_add_some() -> None:
    ours = [{"name": "app", "image": "v1"}]
    assert contains([{"name": "proxy", "image": "p"}, {"name": "app", "image": "v1", "tty": False}], ours)
    assert differences([{"name": "app", "image": "v2"}], ours, "containers") == [
        'containers[app].image: "v2", should be "v1"'
    ]
    assert differences([{"name": "proxy"}], ours, "containers") == ["containers[app]: missing"]


@pytest.mark.parametrize("live", [["a"], ["a", "b", "c"], ["b", "a"], [], "a", None])
def test_other_lists_are_the_same_or_differ(live: Any) -> None:
    assert not contains({"args": live}, {"args": ["a", "b"]})


def test_a_number_is_not_its_text_and_true_is_not_one() -> None:
    assert not contains({"port": "80"}, {"port": 80})
    assert not contains({"flag": 1}, {"flag": True})


def test_the_digest_of_what_is_desired_changes_with_every_field() -> None:
    one, same, other = deployment(replicas=1), deployment(replicas=1), deployment(replicas=1, paused=True)
    hashes = [with_hash(each)["metadata"]["annotations"][DESIRED_HASH] for each in (one, same, other)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert "annotations" not in one["metadata"]


def test_a_status_is_no_content() -> None:
    quiet = deployment(replicas=1)
    busy = quiet | {"status": {"readyReplicas": 1}}
    busy["metadata"] = quiet["metadata"] | {"resourceVersion": "7", "managedFields": [{}], "generation": 3}
    assert digest(content(quiet)) == digest(content(busy))
    assert digest(content(quiet)) != digest(content(deployment(replicas=2)))


def test_references_read_well() -> None:
    assert str(ref_of(deployment())) == "Deployment n/d"
    assert str(ref_of({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}})) == "Namespace x"


def test_a_selector_is_compared_as_a_whole() -> None:
    live = {"spec": {"selector": {"app": "a", "more": "b"}, "other": {"app": "a", "more": "b"}}}
    assert contains(live, {"spec": {"other": {"app": "a"}}})
    assert not contains(live, {"spec": {"selector": {"app": "a"}}})
    assert differences(live, {"spec": {"selector": {"app": "a"}}}) == [
        'spec.selector: {"app": "a", "more": "b"}, should be {"app": "a"}'
    ]


def test_nothing_of_a_secret_is_shown() -> None:
    live = {"apiVersion": "v1", "kind": "Secret", "data": {"key": "bGl2ZQ=="}}
    assert changes(live, live | {"data": {"key": "d2FudGVk"}}) == ["data.key"]
    assert changes(live | {"kind": "ConfigMap"}, live | {"kind": "ConfigMap", "data": {"key": "b"}}) == [
        'data.key: "bGl2ZQ==", should be "b"'
    ]
