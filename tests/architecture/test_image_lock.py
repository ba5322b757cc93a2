"""requirements-image.lock, which the image is made of, is the part of requirements.lock that it needs."""

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent.parent
OLDEST_PYTHON = {"python_version": "3.11", "python_full_version": "3.11.0"}
"""The base image may have any 3.11."""


def pins(lock: str) -> dict[str, str]:
    """Version and hashes by name."""
    entries = re.split(r"^(?=\S)", (ROOT / lock).read_text(), flags=re.MULTILINE)
    return {canonicalize_name(each.split("==")[0]): each.strip() for each in entries if "==" in each}


def needed(requirements: Iterable[str]) -> set[str]:
    """Names of `requirements` and of all that they need, by the metadata of what is installed."""
    found: set[str] = set()
    waiting = [(Requirement(each), "") for each in requirements]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({**OLDEST_PYTHON, "extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        found.add(name)
        for wanted in ("", *sorted(requirement.extras)):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                waiting += [(Requirement(each), wanted) for each in requires(name) or ()]
    return found


def test_the_image_has_the_versions_that_the_tests_run() -> None:
    everything = pins("requirements.lock")
    for name, entry in pins("requirements-image.lock").items():
        assert entry == everything.get(name), f"{name} differs from requirements.lock: run `make lock`"


def test_the_image_has_what_the_services_and_the_operator_need_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = needed([*project["dependencies"], *project["optional-dependencies"]["operator"]])
    assert set(pins("requirements-image.lock")) == wanted, "run `make lock`"
