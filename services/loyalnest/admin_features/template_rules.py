"""What a template may say. Its syntax tree is checked before it is ever compiled or rendered.

A merchant writes templates, and one process renders those of many. So nothing is allowed but what letters need: values,
conditions, a few filters, and loops over a list that is written out. There is no assignment, macro, include, arithmetic
on text or call of a method, so what a template makes is at most so many times as long as its source, and as long to
make; and nothing of Python is in reach. Jinja's sandbox stands behind this as the second wall.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from jinja2 import nodes

LAYOUT: Final = "layout.html"
MOST_LOOPS: Final = 10
MOST_ROUNDS: Final = 50
DEEPEST: Final = 40

FILTERS: Final = frozenset(
    {
        *("as_points", "capitalize", "d", "date", "default", "e", "escape", "first", "last", "length", "lower"),
        *("number", "striptags", "title", "trim", "truncate", "upper", "urlencode"),
    }
)
TESTS: Final = frozenset(
    {
        *("defined", "divisibleby", "even", "none", "number", "odd", "string", "undefined"),
        *("eq", "ne", "lt", "gt", "le", "ge", "in"),
    }
)
LOOP: Final = frozenset(["first", "last", "index", "index0", "length", "revindex"])

_PLAIN: Final = (
    nodes.Add, nodes.And, nodes.Block, nodes.Compare, nodes.Concat, nodes.CondExpr, nodes.If, nodes.Keyword, nodes.List,
    nodes.Neg,nodes.Not, nodes.Operand, nodes.Or, nodes.Output, nodes.Sub, nodes.Template, nodes.TemplateData,
)  # fmt: skip
"""Nodes that are allowed wherever the grammar has them."""


def problems(tree: nodes.Template, variables: Iterable[str], words: Iterable[str]) -> list[str]:
    """What is wrong with a template, each with its line. `variables`: what it may name; `words`: after `words.`."""
    return list(_Check(frozenset(variables), frozenset(words)).check(tree))


class _Check:
    def __init__(self, variables: frozenset[str], words: frozenset[str]) -> None:
        self._variables = variables
        self._words = words
        self._loops = 0

    def check(self, tree: nodes.Template) -> Iterator[str]:
        yield from self._node(tree, frozenset(), 0)

    def _node(self, node: nodes.Node, loop_names: frozenset[str], depth: int) -> Iterator[str]:
        """`loop_names`: names that a loop around the node has made, with `loop` itself."""
        if depth > DEEPEST:
            yield f"line {node.lineno}: nested too deeply"
        elif isinstance(node, nodes.For):
            yield from self._for(node, loop_names, depth)
        elif isinstance(node, nodes.Getattr):
            yield from self._attribute(node, loop_names)
        elif isinstance(node, nodes.Call):
            if not _is_super(node):
                yield f"line {node.lineno}: nothing can be called but super()"
        elif isinstance(node, nodes.Name):
            yield from self._name(node, loop_names)
        elif problem := _wrong_with(node):
            yield f"line {node.lineno}: {problem}"
        else:
            for child in node.iter_child_nodes():
                yield from self._node(child, loop_names, depth + 1)

    def _name(self, node: nodes.Name, loop_names: frozenset[str]) -> Iterator[str]:
        if node.name not in self._variables and node.name not in loop_names:
            known = ", ".join(sorted(self._variables))
            yield f"line {node.lineno}: there is no variable {node.name!r}; there are {known}"

    def _attribute(self, node: nodes.Getattr, loop_names: frozenset[str]) -> Iterator[str]:
        owner = node.node.name if isinstance(node.node, nodes.Name) else ""
        if owner == "words" and node.attr in self._words:
            return
        if owner == "loop" and owner in loop_names and node.attr in LOOP:
            return
        yield f"line {node.lineno}: there is no {owner or 'value'}.{node.attr}"

    def _for(self, node: nodes.For, loop_names: frozenset[str], depth: int) -> Iterator[str]:
        self._loops += 1
        if loop_names:
            yield f"line {node.lineno}: a loop cannot stand in a loop"
        if self._loops > MOST_LOOPS:
            yield f"line {node.lineno}: a template has at most {MOST_LOOPS} loops"
        if not isinstance(node.iter, nodes.List) or len(node.iter.items) > MOST_ROUNDS:
            yield f"line {node.lineno}: a loop goes over a list that is written out, of at most {MOST_ROUNDS} values"
            return
        if not isinstance(node.target, nodes.Name) or node.recursive or node.test is not None:
            yield f"line {node.lineno}: a loop has one name, and no condition"
            return
        inside = frozenset({node.target.name, "loop"})
        yield from self._node(node.iter, loop_names, depth + 1)
        for child in (*node.body, *node.else_):
            yield from self._node(child, inside, depth + 1)


def _is_super(node: nodes.Call) -> bool:
    arguments = node.args or node.kwargs or node.dyn_args or node.dyn_kwargs
    return isinstance(node.node, nodes.Name) and node.node.name == "super" and not arguments


def _wrong_with(node: nodes.Node) -> str:
    """What is wrong with a node itself, whatever its parts are; empty if nothing is."""
    match node:
        case nodes.Filter():
            known = node.name in FILTERS
            return "" if known else f"there is no filter {node.name!r}; there are {', '.join(sorted(FILTERS))}"
        case nodes.Test():
            return "" if node.name in TESTS else f"there is no test {node.name!r}; there are {', '.join(sorted(TESTS))}"
        case nodes.Extends():
            ours = isinstance(node.template, nodes.Const) and node.template.value == LAYOUT
            return "" if ours else f'nothing can be extended but "{LAYOUT}"'
        case nodes.Const():
            return "" if isinstance(node.value, str | int | float | bool | None) else "this value is not allowed"
        case _:
            return "" if isinstance(node, _PLAIN) else f"{_called(node)} is not allowed in templates"


def _called(node: nodes.Node) -> str:
    names = {
        "Assign": "set",
        "AssignBlock": "set",
        "CallBlock": "call",
        "FromImport": "import",
        "Mul": "*",
        "Mod": "%",
        "Pow": "**",
        "Getitem": "[…]",
    }
    return names.get(type(node).__name__, type(node).__name__.lower())
