"""Answers to the operator's own writes that come after the watch has told something newer."""

from typing import Any

from loyalnest_operator.cache import Cache
from loyalnest_operator.names import PROGRAM


def program(version: int, *, uid: str = "one", suspend: bool = False) -> dict[str, Any]:
    metadata = {"name": "acme", "uid": uid, "resourceVersion": str(version), "generation": version}
    return {"metadata": metadata, "spec": {"suspend": suspend, "shop": {"domain": "acme.myshopify.com"}}}


def test_an_older_answer_does_not_bring_an_older_spec_back() -> None:
    cache = Cache()
    cache.see_program(program(9), deleted=False)
    assert cache.see_program(program(11, suspend=True), deleted=False)
    assert not cache.see_program(program(10), deleted=False)
    assert cache.programs["acme"].live["spec"]["suspend"]


def test_an_answer_does_not_bring_a_deleted_program_back() -> None:
    cache = Cache()
    cache.see_program(program(9), deleted=False)
    assert cache.see_program(program(11), deleted=True)
    assert not cache.see_program(program(10), deleted=False)
    assert not cache.programs
    assert cache.owner_of("acme.myshopify.com") == ""


def test_the_next_program_of_the_name_is_another() -> None:
    cache = Cache()
    cache.see_program(program(9), deleted=False)
    cache.see_program(program(11), deleted=True)
    assert cache.see_program(program(12, uid="two"), deleted=False)
    assert not cache.see_program(program(10), deleted=True)
    assert cache.owner_of("acme.myshopify.com") == "acme"


def test_a_change_that_comes_with_the_answer_to_a_status_still_wakes() -> None:
    cache = Cache()
    cache.see_program(program(9), deleted=False)
    cache.see_program(program(11, suspend=True), deleted=False, answer=True)
    assert cache.programs["acme"].live["spec"]["suspend"]
    assert not cache.see_program(program(10, suspend=True), deleted=False)
    assert cache.see_program(program(11, suspend=True), deleted=False)
    assert not cache.see_program(program(11, suspend=True), deleted=False)


def job(version: int, *, complete: bool) -> dict[str, Any]:
    conditions = [{"type": "Complete", "status": "True"}] if complete else []
    metadata = {"name": "prepare", "namespace": "loyalnest-acme", "labels": {PROGRAM: "acme"}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata | {"resourceVersion": str(version)},
        "status": {"conditions": conditions},
    }


def test_an_older_answer_to_an_apply_does_not_undo_what_the_watch_told() -> None:
    cache = Cache()
    assert cache.see_object(job(11, complete=True), deleted=False) == ["acme"]
    cache.applied(job(10, complete=False))
    (seen,) = cache.objects("acme").values()
    assert seen.state.ready


def test_news_of_an_object_that_was_found_gone_are_news() -> None:
    cache = Cache()
    cache.applied(job(10, complete=False))
    (ref,) = cache.objects("acme")
    cache.forget("acme", ref)
    assert cache.see_object(job(11, complete=True), deleted=False) == ["acme"]
