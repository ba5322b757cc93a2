"""The product's modules as syntax trees, and what the rules ask of them."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "services" / "loyalnest"
NOT_SERVICES = ("kit", "cli")

SQL = re.compile(
    r"\bSELECT\b.*\bFROM\b|\bINSERT\s+INTO\b|\bUPDATE\s+\S+\s+(?:AS\s+\w+\s+|\w+\s+)?SET\b|\bDELETE\s+FROM\b", re.DOTALL
)
"""A statement, or a good part of one. Keywords are written in capitals here."""


@dataclass(frozen=True)
class Text:
    """A string of the source with the names of what is put into it in braces."""

    line: int
    value: str


@dataclass(frozen=True)
class Module:
    """One file. `name` is its path inside the package, such as `points/service.py`."""

    name: str
    source: str

    @property
    def owner(self) -> str:
        """The folder of the package that it belongs to: a service, `kit`, `cli`, or nothing."""
        return self.name.split("/")[0] if "/" in self.name else ""

    @property
    def generated(self) -> bool:
        return self.name.endswith(("_pb2.py", "_pb2_grpc.py"))

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and full name of everything imported, wherever in the file: `from a import b` is `a.b`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)

    def texts(self) -> Iterator[Text]:
        """Every string but docstrings; the parts of an f-string as one, with the module's constants filled in."""
        constants = dict(_constants(self.tree))
        inside: set[int] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                inside.add(id(node.value))
            elif isinstance(node, ast.JoinedStr):
                inside |= {id(part) for part in ast.walk(node) if part is not node}
                yield Text(node.lineno, _joined(node, constants))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
                yield Text(node.lineno, node.value)

    def statements(self) -> Iterator[Text]:
        """The strings that are SQL."""
        return (text for text in self.texts() if SQL.search(text.value))


def _joined(node: ast.JoinedStr, constants: dict[str, str]) -> str:
    parts = []
    for value in node.values:
        if isinstance(value, ast.Constant):
            parts.append(str(value.value))
        elif isinstance(value, ast.FormattedValue):
            name = ast.unparse(value.value)
            parts.append(constants.get(name, f"{{{name}}}"))
    return "".join(parts)


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(value))):
                yield name, value


@lru_cache
def modules() -> tuple[Module, ...]:
    """Every module of the package."""
    files = sorted(PACKAGE.rglob("*.py"))
    return tuple(Module(file.relative_to(PACKAGE).as_posix(), file.read_text()) for file in files)


@lru_cache
def services() -> frozenset[str]:
    """The names of the services' folders."""
    return frozenset(module.owner for module in modules()) - {"", *NOT_SERVICES}
