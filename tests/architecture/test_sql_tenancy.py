"""No statement mixes merchants: every join of a service's tables matches `merchant_id`, every statement names it.

A lint over the SQL in the sources, because worker roles see every merchant's rows and no policy would stop them.
"""

import re
from collections.abc import Iterator

import pytest

from architecture.sources import Module, Text, modules

TABLE = r"(?:[a-z_]+|\{[\w.]*schema\})\.[a-z_]+"
TOUCHED = re.compile(rf"\b(?:FROM|JOIN|INTO|UPDATE|USING|TABLE)\s+(?:ONLY\s+)?({TABLE})(?![\w.]*\()")
JOIN = re.compile(rf"\bJOIN\s+(?:LATERAL\s+)?({TABLE}|[a-z_]+|\()", re.DOTALL)
CONDITION = re.compile(r"\b(ON|USING)\b(?! CONFLICT)")
ENDS = re.compile(
    r"\b(?:(?:CROSS|LEFT|RIGHT|FULL|INNER|NATURAL)\b|JOIN\b|WHERE\b|GROUP BY\b|ORDER BY\b|LIMIT\b|RETURNING\b|SET\b|"
    r"ON CONFLICT\b|UNION\b|FOR (?:UPDATE|SHARE|NO KEY)\b|HAVING\b|WINDOW\b)"
)
CATALOGUE = ("pg_catalog.", "information_schema.")

READ = re.compile(rf"\b(?:FROM|JOIN)\s+(?:ONLY\s+)?{TABLE}(?![\w.]*\()")
MATCHED = re.compile(r"\bmerchant_id\s*=|USING\s*\([^)]*\bmerchant_id\b")
CONFINED = re.compile(r"\bmerchant_id\s*=\s*\$\d")

WITHOUT = {
    ("auth/access_repository.py", "DELETE FROM auth.oauth_states WHERE expires_at"): "a worker clears what has expired",
    (
        "auth/admin_repository.py",
        "DELETE FROM auth.admin_sessions WHERE expires_at",
    ): "a worker clears what has expired",
    ("core/listing_repository.py", "FROM core.customers c WHERE {"): "`conditions` begins with the merchant's",
    ("core/repository.py", "INSERT INTO core.customers ({_COLUMNS})"): "`_COLUMNS` begins with merchant_id",
}
"""Statements that do not name `merchant_id`, by a part of them, and why they may."""


def without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*|/\*.*?\*/", " ", sql, flags=re.DOTALL)


def touched(sql: str) -> set[str]:
    """The tables of services that a statement reads or writes."""
    return {table for table in TOUCHED.findall(sql) if not table.startswith(CATALOGUE)}


def loose_joins(sql: str) -> Iterator[str]:
    """Joins with a table of a service whose condition does not match merchants.

    What is joined with a sub-select or a WITH query must match them too, unless each of the statement's tables is
    confined to one merchant, by a parameter or by another table.
    """
    confined = CONFINED.search(sql) is not None and len(MATCHED.findall(sql)) >= len(READ.findall(sql))
    for join in JOIN.finditer(sql):
        target = join.group(1)
        own = "." in target and not target.startswith(CATALOGUE)
        if not own and (confined or not touched(sql)):
            continue
        start = _after_parenthesis(sql, join.end()) if target == "(" else join.end()
        end = ENDS.search(sql, start)
        clause = sql[start : end.start() if end else len(sql)]
        condition = CONDITION.search(clause)
        if condition is None and own:
            yield f"JOIN {target} has no condition"
        if condition is not None and "merchant_id" not in clause[condition.end() :]:
            yield f"JOIN {target}{clause.rstrip()}"


def _after_parenthesis(sql: str, start: int) -> int:
    """Where the parenthesis that opened just before `start` is closed."""
    depth = 1
    for place in range(start, len(sql)):
        depth += {"(": 1, ")": -1}.get(sql[place], 0)
        if depth == 0:
            return place + 1
    return len(sql)


def faults(module: Module, text: Text) -> Iterator[str]:
    """What is wrong with a statement."""
    sql = " ".join(without_comments(text.value).split())
    where = f"{module.name}:{text.line}"
    if touched(sql) and "merchant_id" not in sql and not any(_excused(module, sql)):
        yield f"{where} names no merchant_id: {sql[:120]}"
    yield from (f"{where} {join[:120]}" for join in loose_joins(sql))


def _excused(module: Module, sql: str) -> Iterator[tuple[str, str]]:
    return (excuse for excuse in WITHOUT if excuse[0] == module.name and excuse[1] in sql)


def checked() -> list[Module]:
    """Services' own modules. The kit's tables have their tests; migrations make tables and join nothing."""
    return [m for m in modules() if m.owner not in {"kit", "cli", ""} and "/migrations/" not in m.name]


def test_every_statement_keeps_merchants_apart() -> None:
    found = [(module, text) for module in checked() for text in module.statements()]
    assert len([text for _, text in found if touched(text.value)]) > 50
    assert [fault for module, text in found for fault in faults(module, text)] == []


def test_every_excuse_is_needed() -> None:
    used = {
        excuse
        for module in checked()
        for text in module.statements()
        for excuse in _excused(module, " ".join(without_comments(text.value).split()))
    }
    assert used == WITHOUT.keys()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM core.customers",
        "SELECT count(*) FROM {schema}.inbox WHERE received_at < now()",
        "SELECT count(*) FROM {self._schema}.inbox -- merchant_id",
        "UPDATE points.lots SET remaining = 0 WHERE lot_id = $1",
        "UPDATE points.lots AS l SET remaining = 0 WHERE lot_id = $1",
        "DELETE FROM points.lots WHERE lot_id = $1",
        "INSERT INTO points.lots (lot_id) SELECT lot_id FROM unnest($1::uuid[])",
        "SELECT l.merchant_id FROM points.lots l JOIN points.awards a ON a.lot_id = l.lot_id",
        "SELECT l.merchant_id FROM points.lots l LEFT JOIN points.awards AS a USING (lot_id) WHERE l.merchant_id = 'a'",
        "SELECT l.merchant_id FROM points.lots l CROSS JOIN points.awards a WHERE l.lot_id = a.lot_id",
        "SELECT l.merchant_id FROM points.lots l JOIN points.awards a ON a.lot_id = l.lot_id ORDER BY l.merchant_id",
        "SELECT merchant_id FROM a.x JOIN a.y ON y.id = x.id JOIN a.z ON z.merchant_id = x.merchant_id AND z.id = x.id",
        "WITH t AS (SELECT merchant_id, id FROM a.x) SELECT * FROM a.y JOIN t ON t.id = y.id",
        "WITH t AS (SELECT id FROM a.x) SELECT * FROM a.y JOIN t ON t.id = y.id WHERE y.merchant_id = $1",
        "SELECT * FROM a.y JOIN (SELECT id FROM a.x WHERE merchant_id = 'm') AS t ON t.id = y.id",
        "SELECT * FROM unnest($1::text[]) AS k(merchant_id) JOIN a.x ON x.id = k.id",
    ],
)
def test_what_mixes_merchants_is_found(sql: str) -> None:
    assert list(faults(Module("points/repository.py", ""), Text(1, sql)))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM core.customers WHERE merchant_id = $1",
        "SELECT extract(epoch FROM now()), nextval('a.b')",
        "SELECT * FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace",
        "SELECT * FROM a.x JOIN a.y ON y.merchant_id = x.merchant_id AND y.id = x.id WHERE x.id = $1",
        "SELECT * FROM a.x LEFT JOIN a.y USING (merchant_id, id) GROUP BY x.id",
        "SELECT * FROM unnest($1::text[], $2::int[]) AS k(merchant_id, id) JOIN a.x USING (merchant_id, id)",
        "WITH t AS (SELECT id FROM a.x WHERE merchant_id = $1), u AS (SELECT id FROM a.y WHERE merchant_id = $1) "
        "SELECT * FROM t FULL JOIN u ON u.id = t.id",
        "SELECT * FROM a.x CROSS JOIN LATERAL (SELECT y.z FROM a.y WHERE y.merchant_id = x.merchant_id LIMIT 1) AS l",
        "INSERT INTO a.x (merchant_id, id) SELECT * FROM unnest($1::text[], $2::int[]) ON CONFLICT DO NOTHING",
    ],
)
def test_what_keeps_merchants_apart_is_let_through(sql: str) -> None:
    assert list(faults(Module("points/repository.py", ""), Text(1, sql))) == []
