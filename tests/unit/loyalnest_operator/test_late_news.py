"""Answers to the operator's own writes that come after the watch has told something newer."""

from typing import Any

from loyalnest_operator.cache import Cache


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
