"""The generated servicers raise NotImplementedError for a method that nobody wrote: every one is written."""

import importlib
import inspect

from loyalnest.cli.inspect import methods
from loyalnest.kit.discovery import discover


def test_every_method_of_the_protos_is_served() -> None:
    missing: list[str] = []
    for name, service in discover().items():
        if service.rpc is None:
            continue
        module = importlib.import_module(f"loyalnest.{name}.grpc")
        written = {
            method
            for each in vars(module).values()
            if inspect.isclass(each) and each.__module__ == module.__name__
            for method in vars(each)
        }
        assert methods(service), name
        missing.extend(f"{name}: {method}" for method in methods(service) if method not in written)
    assert missing == []
