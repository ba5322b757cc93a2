"""All SQL that writes products and what they are found by.

Whoever writes locks the merchants' catalogues first, in one order. So counts are exact, a term is made once, and no two
writers wait for each other's rows.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from loyalnest.kit.database import Connection
from loyalnest.kit.errors import RaceLost
from loyalnest.products.indexing import Kind, terms_of
from loyalnest.products.models import Indexed, Kept, Key, Told, newest
from loyalnest.products.rows import (
    KEY,
    PRODUCT_COLUMNS,
    SEARCH_COLUMNS,
    as_json,
    indexed_of,
    kept_of,
    product_row,
    search_row,
)
from loyalnest.products.words import may_be_mistyped, shortened

_PRODUCTS = ", ".join(PRODUCT_COLUMNS)
_PRODUCT_TYPES = ", ".join(f"{name} {kind}" for name, kind in PRODUCT_COLUMNS.items())
_SET = ", ".join(f"{name} = excluded.{name}" for name in PRODUCT_COLUMNS if name not in KEY)
_SEARCH = ", ".join(SEARCH_COLUMNS)
_SEARCH_TYPES = ", ".join(f"{name} {kind}" for name, kind in SEARCH_COLUMNS.items())
_SET_SEARCH = ", ".join(f"{name} = excluded.{name}" for name in SEARCH_COLUMNS if name not in KEY)
_NOTHING = Indexed(None)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a batch came to: products that are new (or back), and those that changed."""

    created: int
    updated: int


async def apply(connection: Connection, told: Iterable[Told]) -> Changes:
    """Keep the newest of what is told of each product; what is not newer than what is kept changes nothing."""
    wanted = newest(told)
    await lock_catalogues(connection, {merchant_id for merchant_id, _ in wanted})
    before = await indexed(connection, wanted)
    after = {}
    for key, each in wanted.items():
        known = before.get(key, _NOTHING).kept
        if known is None or known.told.order < each.order:
            after[key] = Kept(each, excluded=known is not None and known.excluded)
    await write(connection, before, after)
    created = sum(not before.get(key, _NOTHING).listed and not kept.told.facts.deleted for key, kept in after.items())
    return Changes(created, len(after) - created)


async def lock_catalogues(connection: Connection, merchants: Iterable[str]) -> None:
    """Make the merchants' catalogues where there are none, and lock them until the transaction ends.

    Raises RaceLost if one was deleted meanwhile.
    """
    wanted = sorted(merchants)
    await connection.execute(
        """
        INSERT INTO products.catalogues (merchant_id) SELECT m FROM unnest($1::text[]) AS m
        ON CONFLICT DO NOTHING
        """,
        wanted,
    )
    locked = await connection.fetch(
        "SELECT FROM products.catalogues c WHERE c.merchant_id = ANY($1::text[]) ORDER BY c.merchant_id FOR UPDATE",
        wanted,
    )
    if len(locked) < len(wanted):
        raise RaceLost("A shop was redacted just now; try again.")


async def indexed(connection: Connection, keys: Iterable[Key]) -> dict[Key, Indexed]:
    """Those of the products that are known, deleted ones too, with their terms."""
    wanted = list(keys)
    rows = await connection.fetch(
        """
        SELECT p.*, s.terms FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, product_id)
        JOIN products.products p ON p.merchant_id = k.merchant_id AND p.product_id = k.product_id
        LEFT JOIN products.search s ON s.merchant_id = p.merchant_id AND s.product_id = p.product_id
        """,
        [merchant_id for merchant_id, _ in wanted],
        [product_id for _, product_id in wanted],
    )
    return {(row["merchant_id"], row["product_id"]): indexed_of(row) for row in rows}


async def write(connection: Connection, before: Mapping[Key, Indexed], after: Mapping[Key, Kept]) -> None:
    """Write products and what they are found by; their catalogues are locked. before: as they are."""
    if not after:
        return
    terms = {key: terms_of(kept.told.facts) for key, kept in after.items() if not kept.told.facts.deleted}
    ids = await _term_ids(connection, {(key[0], *term) for key, each in terms.items() for term in each.all})
    now: dict[Key, Indexed] = {}
    rows = []
    for key, kept in after.items():
        if key not in terms:
            now[key] = Indexed(kept)
            continue
        title, facets, every = (
            [ids[key[0], *term] for term in group] for group in (terms[key].title, terms[key].facets, terms[key].all)
        )
        now[key] = Indexed(kept, frozenset(every))
        rows.append(search_row(kept, title, facets, every))
    await _upsert_products(connection, after.values())
    await _upsert_search(connection, rows, [key for key in after if key not in terms])
    await _count(connection, before, now)


async def _upsert_products(connection: Connection, products: Iterable[Kept]) -> None:
    await connection.execute(
        f"""
        INSERT INTO products.products ({_PRODUCTS})
        SELECT {_PRODUCTS} FROM jsonb_to_recordset($1::jsonb) AS v({_PRODUCT_TYPES})
        ON CONFLICT (merchant_id, product_id) DO UPDATE SET {_SET}
        """,
        as_json([product_row(kept) for kept in products]),
    )


async def _upsert_search(connection: Connection, rows: Sequence[Mapping[str, object]], gone: Sequence[Key]) -> None:
    """What is as before is not written: most deliveries tell of a stock that no search depends on."""
    await connection.execute(
        f"""
        INSERT INTO products.search AS s ({_SEARCH})
        SELECT {_SEARCH} FROM jsonb_to_recordset($1::jsonb) AS v({_SEARCH_TYPES})
        ON CONFLICT (merchant_id, product_id) DO UPDATE SET {_SET_SEARCH}
        WHERE (s.*) IS DISTINCT FROM (excluded.*)
        """,
        as_json(rows),
    )
    await connection.execute(
        """
        DELETE FROM products.search s USING unnest($1::text[], $2::bigint[]) AS k(merchant_id, product_id)
        WHERE s.merchant_id = k.merchant_id AND s.product_id = k.product_id
        """,
        [merchant_id for merchant_id, _ in gone],
        [product_id for _, product_id in gone],
    )


async def _term_ids(connection: Connection, wanted: set[tuple[str, Kind, str]]) -> dict[tuple[str, Kind, str], int]:
    """The ids of terms, which are made where they are missing. Known ones are looked up first: trying uses up ids."""
    found: dict[tuple[str, Kind, str], int] = {}
    for statement in (
        """
        SELECT t.merchant_id, t.kind, t.term, t.term_id
        FROM unnest($1::text[], $2::text[], $3::text[]) AS k(merchant_id, kind, term)
        JOIN products.terms t ON t.merchant_id = k.merchant_id AND t.kind = k.kind AND t.term = k.term
        """,
        """
        INSERT INTO products.terms (merchant_id, kind, term) SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
        RETURNING merchant_id, kind, term, term_id
        """,
    ):
        missing = sorted(wanted - found.keys())
        rows = await connection.fetch(statement, *([each[at] for each in missing] for at in range(3)))
        found |= {(row["merchant_id"], Kind(row["kind"]), row["term"]): row["term_id"] for row in rows}
    await _spell(connection, [(merchant_id, term) for merchant_id, kind, term in missing if kind is Kind.WORD])
    return found


async def _spell(connection: Connection, words: Iterable[tuple[str, str]]) -> None:
    """Note how new words may be mistyped."""
    rows = [
        (merchant_id, spelling, word)
        for merchant_id, word in words
        if may_be_mistyped(word)
        for spelling in sorted(shortened(word))
    ]
    await connection.execute(
        """
        INSERT INTO products.spellings (merchant_id, spelling, word)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
        ON CONFLICT DO NOTHING
        """,
        *([row[at] for row in rows] for at in range(3)),
    )


async def _count(connection: Connection, before: Mapping[Key, Indexed], after: Mapping[Key, Indexed]) -> None:
    """Bring the counts of terms and catalogues up to date."""
    terms: Counter[tuple[str, int, bool]] = Counter()
    products: Counter[tuple[str, bool]] = Counter()
    for key, now in after.items():
        for state, change in ((before.get(key, _NOTHING), -1), (now, 1)):
            for visible in (False, True)[: state.listed + state.visible]:
                products[key[0], visible] += change
                for term in state.terms:
                    terms[key[0], term, visible] += change
    changed = sorted({(merchant_id, term) for (merchant_id, term, _), change in terms.items() if change})
    await connection.execute(
        """
        UPDATE products.terms t SET products = t.products + k.products, visible = t.visible + k.visible
        FROM unnest($1::text[], $2::bigint[], $3::int[], $4::int[]) AS k(merchant_id, term_id, products, visible)
        WHERE t.merchant_id = k.merchant_id AND t.term_id = k.term_id
        """,
        [merchant_id for merchant_id, _ in changed],
        [term for _, term in changed],
        *([terms[merchant_id, term, visible] for merchant_id, term in changed] for visible in (False, True)),
    )
    merchants = sorted({merchant_id for (merchant_id, _), change in products.items() if change})
    await connection.execute(
        """
        UPDATE products.catalogues c SET products = c.products + k.products, visible = c.visible + k.visible
        FROM unnest($1::text[], $2::int[], $3::int[]) AS k(merchant_id, products, visible)
        WHERE c.merchant_id = k.merchant_id
        """,
        merchants,
        *([products[merchant_id, visible] for merchant_id in merchants] for visible in (False, True)),
    )


async def product(connection: Connection, merchant_id: str, product_id: int) -> Kept | None:
    """One product, also a deleted one."""
    row = await connection.fetchrow(
        "SELECT * FROM products.products p WHERE p.merchant_id = $1 AND p.product_id = $2", merchant_id, product_id
    )
    return None if row is None else kept_of(row)


async def products(connection: Connection, merchant_id: str, after: int, limit: int) -> list[Kept]:
    """Products by id, those after `after`, without deleted ones."""
    rows = await connection.fetch(
        """
        SELECT * FROM products.products p
        WHERE p.merchant_id = $1 AND p.product_id > $2 AND p.deleted_at IS NULL ORDER BY p.product_id LIMIT $3
        """,
        merchant_id,
        after,
        limit,
    )
    return [kept_of(row) for row in rows]
