"""Who may import whom, where SQL stands, what happens at import, and how long and how well explained a file is."""

import ast
import re
import sys
from collections.abc import Iterator

import pytest

from architecture.sources import NOT_SERVICES, PACKAGE, ROOT, Module, modules, services

TESTS = frozenset(path.stem for path in (ROOT / "tests").iterdir() if not path.name.startswith((".", "_"))) | {"tests"}
TESTS -= sys.stdlib_module_names  # tests/operator has the name of a standard module, which is what an import means

SQL_MODULES = re.compile(
    r"(^|[/_])repository\.py$|^migrations/|^kit/(outbox|inbox|jobs|migrations|database|observer|privacy|bus/.*|moving/.*)"
)
SQL_EXCEPTIONS = {
    "kit/export.py": "copies every service's tables, whatever they are",
    "kit/embedded/postgres.py": "asks the server that it has started for its databases",
    "kit/runtime.py": "`settled` looks into the outboxes of the services that run here",
    "kit/rules_projection.py": "the projection of rules is read and kept in one small place",
    "points/jobs.py": "which lots are due is the job's own question",
}

MOST_LINES = 320

AT_IMPORT = re.compile(
    r"""
    dataclass | field | lru_cache | TypeVar | ContextVar | contextmanager | asynccontextmanager | re\.compile
    | Counter | Gauge | Histogram | structlog\.get_logger | trace\.get_tracer | TraceContextTextMapPropagator
    | (msgspec\.)?(json\.(En|De)coder|field|Meta|Raw)
    | SettingsConfigDict | ConfigDict | Field | SecretStr | TypeAdapter | StringConstraints | Strict
    | (field|model)_(validator|serializer) | (Before|After|Plain|Wrap)(Validator|Serializer)
    | frozenset | tuple | list | dict | map | attrgetter | itemgetter | dict\.fromkeys | range | enumerate
    | len | max | min | sorted | sum | zip | str | str\.maketrans
    | Decimal | Decimal\(1\)\.scaleb | Context | timedelta | datetime | date | UUID | Path | ZoneInfo | MappingProxyType
    | .*\.(encode|decode|upper|title|join|items|values|hexdigest) | hashlib\.sha1 | struct\.Struct
    | Service | Rpc | Retry | NoBackoff | httpx\.Timeout
    | typer\.(Typer|Option|Argument) | (\w+\.)?(command|callback|add_typer)(\(.*\))?
    | Console | Header | Query | HTTPBearer
    """,
    re.VERBOSE,
)
"""Calls that make a value and nothing else: no file, no socket, no thread, no look at the clock or the environment."""

AT_IMPORT_EXCEPTIONS = {
    ("api_gateway/openapi.py", "responses"): "makes constants of OpenAPI",
    ("cli/serve.py", "_variables"): "the help text lists the settings",
    ("core/views.py", "field.is_required"): "which fields a view may leave out is asked of the model",
    ("kit/program/rules.py", "unique"): "makes a constant rule in CEL",
    ("kit/program/schedules.py", "_field"): "makes a constant rule in CEL",
    ("kit/program/spec.py", "_PROGRAM_NAME.rule"): "makes a constant rule in CEL",
    ("kit/program/spec.py", "_SERVICE_NAME.rule"): "makes a constant rule in CEL",
    ("rfm/scoring.py", "_grid"): "the segment of each of the 25 cells, written as in the design",
}

UNEXPLAINED = {
    "kit/errors.py": "its errors are told by their `title`",
    "kit/http/protocol.py": "its methods are those of asyncio's protocols",
}


def written() -> list[Module]:
    return [module for module in modules() if not module.generated]


def forbidden_imports(module: Module) -> Iterator[str]:
    """What `module` imports against the rules."""
    for line, name in module.imports():
        parts = name.split(".")
        if name.startswith("."):
            yield f"{module.name}:{line} imports relatively"
        elif parts[0] in TESTS:
            yield f"{module.name}:{line} imports {name} of the tests"
        elif parts[0] == "loyalnest" and len(parts) > 1 and parts[1] not in {"kit", module.owner}:
            other = parts[1]
            if other in services() and module.owner != "kit":
                if len(parts) > 2 and parts[2] in {f"{other}_pb2", f"{other}_pb2_grpc", "events"}:
                    continue
                yield f"{module.name}:{line} imports {name}: of another service only its stubs and events"
            elif other in services() | {*NOT_SERVICES} and module.owner:
                yield f"{module.name}:{line} imports {name}"


def calls_at_import(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and callee of what an import of the module would call."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            defaults = [default for default in node.args.kw_defaults if default is not None]
            waiting += [*node.decorator_list, *node.args.defaults, *defaults]
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Call):  # a decorator's own decorator
            yield node.lineno, ast.unparse(node.func.func)
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'":
            continue
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)
        if isinstance(node, ast.With | ast.While | ast.Try | ast.Await):
            yield node.lineno, type(node).__name__.lower()
        waiting += ast.iter_child_nodes(node)


def classes_of(module: Module) -> set[str]:
    return {node.name for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)}


def unexplained(module: Module) -> Iterator[str]:
    """Public functions and classes of the module, and public methods of its public classes, without a docstring."""

    def look(body: list[ast.stmt], inside: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith(
                "_"
            ):
                if ast.get_docstring(node) is None:
                    yield f"{module.name}:{node.lineno} {inside}{node.name}"
                if isinstance(node, ast.ClassDef):
                    yield from look(node.body, f"{node.name}.")

    return look(module.tree.body, "")


def test_services_know_each_other_by_stubs_and_events_only() -> None:
    assert len(services()) >= 5
    assert [found for module in written() for found in forbidden_imports(module)] == []


def test_sql_stands_in_repositories() -> None:
    found = {module.name for module in written() if list(module.statements())}
    allowed = {name for name in found if SQL_MODULES.search(name) or "/migrations/" in name}
    assert found - allowed == found & SQL_EXCEPTIONS.keys()
    assert found >= SQL_EXCEPTIONS.keys(), "an exception that is not needed any more"


def test_nothing_happens_at_import() -> None:
    own = {name for module in written() for name in classes_of(module)}
    found = [
        f"{module.name}:{line} calls {callee}"
        for module in written()
        if module.name != "__main__.py"
        for line, callee in calls_at_import(module.tree)
        if not AT_IMPORT.fullmatch(callee) and callee not in own and (module.name, callee) not in AT_IMPORT_EXCEPTIONS
    ]
    assert found == []


def test_nobody_prints() -> None:
    found = [
        f"{module.name}:{node.lineno}"
        for module in written()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "builtins.print", "sys.stdout.write"}
    ]
    assert found == []


def test_files_stay_short() -> None:
    lengths = {module.name: len(module.source.splitlines()) for module in written()}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_the_kit_explains_itself() -> None:
    kit = [module for module in written() if module.owner == "kit" and module.name not in UNEXPLAINED]
    assert [found for module in kit for found in unexplained(module)] == []
    assert [module.name for module in written() if module.source.strip() and not ast.get_docstring(module.tree)] == []


@pytest.mark.parametrize(
    ("name", "source", "count"),
    [
        (
            "points/service.py",
            "from loyalnest.auth.events import A\nfrom loyalnest.auth import auth_pb2, auth_pb2_grpc",
            0,
        ),
        (
            "points/service.py",
            "from loyalnest.auth.auth_pb2_grpc import AuthServiceStub\nimport loyalnest.kit.events",
            0,
        ),
        ("points/service.py", "from loyalnest.auth.tokens import a", 1),
        ("points/service.py", "from loyalnest.auth import rules, events", 1),
        ("points/service.py", "from loyalnest import auth", 1),
        ("points/service.py", "def f():\n    import loyalnest.auth.models", 1),
        ("points/service.py", "from loyalnest.cli.console import out", 1),
        ("points/service.py", "from ..auth import models", 1),
        ("points/service.py", "from fixtures.servers import x", 1),
        ("kit/database.py", "from loyalnest.auth.events import A", 1),
        ("kit/database.py", "from loyalnest.cli import main", 1),
        ("cli/up.py", "from loyalnest.points.ledger import accrue", 1),
    ],
)
def test_the_rule_of_imports_can_fail(name: str, source: str, count: int) -> None:
    assert len(list(forbidden_imports(Module(name, source)))) == count


def test_the_other_rules_can_fail() -> None:
    bad = Module(
        "kit/bad.py", "import os\nX = open('x')\n@cache()\ndef f(a=os.getenv('A')): ...\nclass C:\n    y = g()\n"
    )
    assert sorted(callee for _, callee in calls_at_import(bad.tree)) == ["cache", "g", "open", "os.getenv"]
    lazy = Module("kit/lazy.py", "def f():\n    return open('x')\nG = lambda: open('x')\n")
    assert list(calls_at_import(lazy.tree)) == []
    assert len(list(unexplained(bad))) == 2
    for sql in ("'SELECT a\\nFROM b'", "f'INSERT INTO {x}.y'", "'UPDATE a.b AS c SET d = 1'", "'DELETE FROM t'"):
        assert list(Module("x.py", f"Y = {sql}").statements()), sql
    for plain in ("'Select what to take from it'", "'UPDATE'", "'''SELECT a FROM b'''\n", "'a SELECTION FROM'"):
        assert not list(Module("x.py", plain if plain.endswith("\n") else f"Y = {plain}").statements()), plain


def test_every_folder_is_looked_at() -> None:
    assert PACKAGE.is_dir()
    assert {"kit", "points", "auth", "cli"} <= {module.owner for module in modules()}
