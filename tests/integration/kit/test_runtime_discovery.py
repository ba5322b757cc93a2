"""Which services there are, and in what order they start."""

from pathlib import Path

import pytest

import loyalnest
from loyalnest.kit.discovery import discover, in_dependency_order
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.service import Parts, Service


def test_names_that_do_not_fit() -> None:
    def service(name: str, *needs: str) -> Service:
        return Service(name=name, summary="", build=lambda _: Parts(), needs=needs)

    services = {each.name: each for each in (service("a", "b"), service("b", "c"), service("c"), service("d", "e"))}
    assert [each.name for each in in_dependency_order(services, ["d", "c", "b", "a"])] == ["c", "b", "a", "d"]
    assert [each.name for each in in_dependency_order(services, ["a", "c"])] == ["a", "c"]
    with pytest.raises(InvalidInput, match=r"No service x, y; there is: a, b, c, d"):
        in_dependency_order(services, ["y", "a", "x"])
    with pytest.raises(InvalidInput, match="a → b → c → a"):
        in_dependency_order(services | {"c": service("c", "a")}, ["a", "b", "c"])
    with pytest.raises(ValueError, match="itself"):
        service("a", "a")


def test_a_folder_with_a_manifest_is_a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = "from integration.kit.support import no_parts\nfrom loyalnest.kit.service import Service\n\n"
    manifest += "SERVICE = Service(name={!r}, summary='', build=no_parts)\n"
    for folder, text in (("zz_fourteenth", manifest.format("zz_fourteenth")), ("zz_helper", None)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
        if text:
            (tmp_path / folder / "manifest.py").write_text(text)
    monkeypatch.setattr(loyalnest, "__path__", [str(tmp_path)])
    assert list(discover()) == ["zz_fourteenth"]
    (tmp_path / "zz_misnamed").mkdir()
    (tmp_path / "zz_misnamed" / "__init__.py").touch()
    (tmp_path / "zz_misnamed" / "manifest.py").write_text(manifest.format("another"))
    with pytest.raises(InvalidInput, match="named like its folder"):
        discover()
