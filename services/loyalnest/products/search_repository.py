"""All SQL of searches. What it reads is the view `searchable`, which is the merchant's of the transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import msgspec

from loyalnest.kit.database import Connection
from loyalnest.products.indexing import Kind
from loyalnest.products.models import Kept, Sort
from loyalnest.products.query import Filters, Known, Meaning, Query, prefix_of, spellings
from loyalnest.products.rows import kept_of

CAP: Final = 2_000
"""So many of what matches are ranked and counted. More would cost in proportion: the commonest word has half a shop."""
MAX_LONGER: Final = 20
"""Words, the commonest, that the beginning of one stands for."""
FACET_VALUES: Final = 20
"""Values of a facet that are told, those that most products have."""

_ORDER: Final = {
    Sort.RELEVANCE: "score DESC, created_at DESC, product_id DESC",
    Sort.NEWEST: "created_at DESC, product_id DESC",
    Sort.PRICE_UP: "lowest_price, product_id",
    Sort.PRICE_DOWN: "lowest_price DESC, product_id DESC",
    Sort.TITLE: "title, product_id",
}
_FACETS: Final = "ARRAY['v', 'p', 'g']"
_HIGHEST: Final = "\U0010ffff"

FacetValue = tuple[str, str, int]
"""A facet's kind, a value of it, and how many products have it."""
_facets = msgspec.json.Decoder(list[FacetValue])


@dataclass(frozen=True, slots=True)
class Matched:
    """What matches: how many products, the ids of the first that were wanted, and counts by facet.

    whole: the counts are of everything that matches; if not, at least `total` do, and the counts are over so many.
    available: those with something to buy; lowest, highest: their lowest prices. None where it was not counted.
    """

    total: int
    page: list[int] = field(default_factory=list)
    facets: list[FacetValue] = field(default_factory=list)
    available: int | None = None
    lowest: Decimal | None = None
    highest: Decimal | None = None
    whole: bool = True


class _Parameters(list[Any]):
    """A statement's parameters; `add` gives a value's placeholder."""

    def add(self, value: Any, kind: str) -> str:
        self.append(value)
        return f"${len(self)}::{kind}"


async def resolve(
    connection: Connection, merchant_id: str, words: Sequence[str], values: Sequence[tuple[Kind, str]]
) -> tuple[list[Known], dict[tuple[Kind, str], int]]:
    """The merchant's words that come near to `words`, and the ids of facets' values.

    From here on, the transaction reads no table from end to end: the merchant may be a small one among many.
    """
    await connection.execute("SELECT set_config('enable_seqscan', 'off', true)")
    prefix, near = prefix_of(words), spellings(words)
    rows = await connection.fetch(
        f"""
        SELECT t.kind, t.term, t.term_id, t.products FROM products.terms t
        WHERE t.merchant_id = $1 AND t.kind = 'w' AND t.term = ANY($2::text[])
        UNION
        SELECT t.kind, t.term, t.term_id, t.products FROM products.spellings s
        JOIN products.terms t ON t.merchant_id = s.merchant_id AND t.kind = 'w' AND t.term = s.word
        WHERE s.merchant_id = $1 AND s.spelling = ANY($3::text[])
        UNION
        (SELECT t.kind, t.term, t.term_id, t.products FROM products.terms t
         WHERE t.merchant_id = $1 AND t.kind = 'w' AND $4 <> '' AND t.term >= $4 AND t.term < $4 || '{_HIGHEST}'
         ORDER BY t.products DESC, t.term LIMIT {MAX_LONGER})
        UNION
        SELECT t.kind, t.term, t.term_id, t.products FROM unnest($5::text[], $6::text[]) AS k(kind, term)
        JOIN products.terms t ON t.merchant_id = $1 AND t.kind = k.kind AND t.term = k.term
        """,
        merchant_id,
        [*words, *near],
        near,
        prefix,
        [kind for kind, _ in values],
        [term for _, term in values],
    )
    known = [Known(row["term_id"], row["term"], row["products"]) for row in rows if row["kind"] == Kind.WORD]
    found = {(Kind(row["kind"]), row["term"]): row["term_id"] for row in rows if row["kind"] != Kind.WORD}
    return [each for each in known if each.products], found


def groups_of(filters: Filters, ids: dict[tuple[Kind, str], int]) -> list[list[int]] | None:
    """Terms of which a product must have one of each group, for the filters; None if one has a value nobody has."""
    one_of = ([(Kind.VENDOR, value) for value in filters.vendors], [(Kind.TYPE, value) for value in filters.types])
    wanted = [*(each for each in one_of if each), *([(Kind.TAG, value)] for value in filters.tags)]
    groups = [[ids[value] for value in group if value in ids] for group in wanted]
    return groups if all(groups) else None


async def gather(
    connection: Connection,
    merchant_id: str,
    query: Query,
    groups: Sequence[Sequence[int]],
    words: Sequence[Meaning],
    *,
    all_words: bool,
) -> Matched:
    """What has a term of each group, and one of each of the words, or of any; in the order that is wanted."""
    given = _Parameters([merchant_id])
    score = _score(given, query, words, all_words=all_words)
    meant = [list(word.near) for word in words]
    wanted = [*groups, *(meant if all_words or not meant else [[term for word in meant for term in word]])]
    conditions = _conditions(given, query.filters, [_having(given, "s.terms", group) for group in wanted])
    row = await connection.fetchrow(
        f"""
        WITH matched AS MATERIALIZED (
            SELECT s.product_id, {score} AS score, s.available, s.lowest_price, s.created_at, s.title, s.facet_terms
            FROM products.searchable s WHERE s.merchant_id = $1 {conditions} LIMIT {CAP + 1}
        ), facets AS (
            SELECT t.kind, t.term, c.products,
                   row_number() OVER (PARTITION BY t.kind ORDER BY c.products DESC, t.term) AS place
            FROM (SELECT term_id, count(*) AS products FROM matched, unnest(facet_terms) AS term_id GROUP BY 1) AS c
            JOIN products.terms t ON t.merchant_id = $1 AND t.term_id = c.term_id
        )
        SELECT (SELECT count(*) FROM matched) AS total,
               ARRAY(SELECT product_id FROM matched ORDER BY {_ORDER[query.sort]}
                     LIMIT {given.add(query.end, "int")}) AS page,
               (SELECT coalesce(json_agg(json_build_array(kind, term, products) ORDER BY kind, place), '[]')
                FROM facets WHERE place <= {FACET_VALUES}) AS facets,
               (SELECT count(*) FROM matched WHERE available) AS available,
               (SELECT min(lowest_price) FROM matched) AS lowest, (SELECT max(lowest_price) FROM matched) AS highest
        """,
        *given,
    )
    assert row is not None
    found = {**row, "facets": _facets.decode(row["facets"])}
    return Matched(**found | {"total": min(row["total"], CAP), "whole": row["total"] <= CAP})


async def titled(
    connection: Connection, merchant_id: str, query: Query, groups: Sequence[Sequence[int]], words: Sequence[Meaning]
) -> list[int] | None:
    """The first of what has all the words in its title; None if that is more than can be ranked."""
    given = _Parameters([merchant_id])
    score = _score(given, query, words)
    having = [_having(given, "s.terms", group) for group in groups]
    having += [_having(given, "s.terms", [-term for term in word.near]) for word in words]
    row = await connection.fetchrow(
        f"""
        WITH matched AS MATERIALIZED (
            SELECT s.product_id, {score} AS score, s.created_at FROM products.searchable s
            WHERE s.merchant_id = $1 {_conditions(given, query.filters, having)} LIMIT {CAP + 1}
        )
        SELECT (SELECT count(*) FROM matched) AS total,
               ARRAY(SELECT product_id FROM matched ORDER BY {_ORDER[Sort.RELEVANCE]}
                     LIMIT {given.add(query.end, "int")}) AS page
        """,
        *given,
    )
    assert row is not None
    page: list[int] = row["page"]
    return page if row["total"] <= CAP else None


async def walk(
    connection: Connection,
    merchant_id: str,
    query: Query,
    groups: Sequence[Sequence[int]],
    words: Sequence[Meaning],
    *,
    in_title: bool = False,
) -> list[int]:
    """The first of what has a term of each group, and each of the words, found by going through all in order.

    For what much has: little is passed by. As a function, an overlap is no reason for PostgreSQL to fetch all that have
    the words and sort them.
    """
    given = _Parameters([merchant_id])
    having = [f"arrayoverlap(s.facet_terms, {given.add(list(group), 'bigint[]')})" for group in groups]
    terms = "s.title_terms" if in_title else "s.terms"
    having += [f"arrayoverlap({terms}, {given.add(list(word.near), 'bigint[]')})" for word in words]
    sort = Sort.NEWEST if query.sort is Sort.RELEVANCE else query.sort
    rows = await connection.fetch(
        f"""
        SELECT s.product_id FROM products.searchable s
        WHERE s.merchant_id = $1 {_conditions(given, query.filters, having)}
        ORDER BY {_ORDER[sort]} LIMIT {given.add(query.end, "int")}
        """,
        *given,
    )
    return [row["product_id"] for row in rows]


async def browse(connection: Connection, merchant_id: str, *, visible: bool) -> Matched:
    """All of the merchant's products, or those that shoppers may find, counted; no page."""
    counted = "visible" if visible else "products"
    total = await connection.fetchval(
        f"SELECT c.{counted} FROM products.catalogues c WHERE c.merchant_id = $1", merchant_id
    )
    rows = await connection.fetch(
        f"""
        SELECT k.kind, f.term, f.products FROM unnest({_FACETS}) WITH ORDINALITY AS k(kind, place)
        CROSS JOIN LATERAL (
            SELECT t.term, t.{counted} AS products FROM products.terms t
            WHERE t.merchant_id = $1 AND t.kind = k.kind AND t.{counted} > 0
            ORDER BY t.{counted} DESC, t.term LIMIT {FACET_VALUES}
        ) AS f ORDER BY k.place, f.products DESC, f.term
        """,
        merchant_id,
    )
    return Matched(total or 0, facets=[(row["kind"], row["term"], row["products"]) for row in rows])


async def products(connection: Connection, merchant_id: str, ids: Sequence[int]) -> list[Kept]:
    """The products of these ids, in their order."""
    rows = await connection.fetch(
        """
        SELECT p.* FROM unnest($2::bigint[]) WITH ORDINALITY AS k(product_id, place)
        JOIN products.products p ON p.merchant_id = $1 AND p.product_id = k.product_id
        ORDER BY k.place
        """,
        merchant_id,
        list(ids),
    )
    return [kept_of(row) for row in rows]


def _having(given: _Parameters, terms: str, group: Sequence[int]) -> str:
    return f"{terms} && {given.add(list(group), 'bigint[]')}"


def _conditions(given: _Parameters, filters: Filters, having: Sequence[str]) -> str:
    """The conditions on a product, each with `AND` before it."""
    found = list(having)
    if filters.lowest is not None:
        found.append(f"s.highest_price >= {given.add(filters.lowest, 'numeric')}")
    if filters.highest is not None:
        found.append(f"s.lowest_price <= {given.add(filters.highest, 'numeric')}")
    if filters.available is not None:
        found.append("s.available" if filters.available else "NOT s.available")
    if filters.visible is not None:
        found.append("s.visible" if filters.visible else "NOT s.visible")
    if filters.status:
        found.append(f"s.status = {given.add(filters.status, 'text')}")
    return "".join(f" AND {each}" for each in found)


def _score(given: _Parameters, query: Query, words: Sequence[Meaning], *, all_words: bool = True) -> str:
    """How well a product matches: a word itself before another that is near, in the title before elsewhere.

    A title that is the query comes first; one that begins with it, before others with its words.
    """
    if not words or query.sort is not Sort.RELEVANCE:
        return "0"
    # Whether one array has something of another is asked by comparing all with all: not where it is known.
    elsewhere = "1" if all_words else "(s.terms && {near})::int"
    title = given.add(query.title, "text")
    parts = [f"CASE WHEN s.title = {title} THEN 40 WHEN starts_with(s.title, {title}) THEN 2 ELSE 0 END"]
    for word in words:
        exact, near = (given.add(list(ids), "bigint[]") for ids in (word.exact, word.near))
        parts.append(
            f"CASE WHEN s.title_terms && {exact} THEN 8 WHEN s.title_terms && {near} THEN 5"
            f" WHEN s.terms && {exact} THEN 3 ELSE {elsewhere.format(near=near)} END"
        )
    return " + ".join(parts)
