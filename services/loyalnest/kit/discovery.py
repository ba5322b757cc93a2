"""Finds the services: every folder of `loyalnest` that has a `manifest` with a SERVICE."""

import pkgutil
from collections.abc import Collection, Mapping
from importlib import import_module
from importlib.util import find_spec

import loyalnest
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.service import Service


def discover() -> dict[str, Service]:
    """Every service by name, in alphabetical order. A manifest that cannot be imported raises its own error."""
    found: dict[str, Service] = {}
    for module in pkgutil.iter_modules(loyalnest.__path__):
        name = f"loyalnest.{module.name}.manifest"
        if module.ispkg and find_spec(name) is not None:
            service: Service = import_module(name).SERVICE
            if service.name != module.name:
                raise InvalidInput(f"{name} declares {service.name!r}; a service is named like its folder.")
            found[service.name] = service
    return found


def in_dependency_order(services: Mapping[str, Service], names: Collection[str]) -> list[Service]:
    """The services `names`, each after those of them that it needs; alphabetical where that leaves a choice.

    Raises InvalidInput for a name that does not exist, and for services that need each other in a circle.
    """
    unknown = sorted(set(names) - set(services))
    if unknown:
        raise InvalidInput(f"No service {', '.join(unknown)}; there is: {', '.join(services)}.")
    ordered: list[Service] = []
    placed: set[str] = set()

    def place(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise InvalidInput(f"Services need each other in a circle: {' → '.join((*path, name))}.")
        if name in placed:
            return
        for need in sorted(services[name].needs):
            if need in names:
                place(need, (*path, name))
        placed.add(name)
        ordered.append(services[name])

    for name in sorted(names):
        place(name, ())
    return ordered
