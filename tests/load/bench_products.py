"""`make bench-products`: what a search takes in a large catalogue, and how fast products are taken in.

Settings by environment: PRODUCTS (of the merchant that is measured), OTHERS (merchants beside it in the same tables, of
2,000 products each), SEARCHES (of each kind). PLAN=1 prints how PostgreSQL finds a common word, under the request role.
"""

import asyncio
import os
import platform as machine
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from load.catalogue import Catalogue
from load.orders import percentile
from loyalnest.kit import logs
from loyalnest.kit.clock import system_clock
from loyalnest.kit.context import as_merchant
from loyalnest.kit.database import Database, Pools
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest.kit.migrations import migrate
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.placement import Placement
from loyalnest.kit.rpc import MethodTable
from loyalnest.kit.rpc.channel import ClientChannel, LocalChannel
from loyalnest.kit.settings import Settings
from loyalnest.products import products_pb2 as pb
from loyalnest.products import repository
from loyalnest.products.grpc import ProductsGrpc
from loyalnest.products.imports import ProductImports
from loyalnest.products.manifest import SERVICE
from loyalnest.products.models import Told
from loyalnest.products.products_pb2_grpc import ProductsServiceStub, add_ProductsServiceServicer_to_server
from loyalnest.products.service import ProductsService

out = Console(highlight=False, width=100)
BATCH, OTHER_PRODUCTS, OTHER_WRITERS = 500, 2_000, 2
LARGE = "large"

Kind = Callable[[random.Random, Catalogue], dict[str, Any]]


def setting(name: str, default: int) -> int:
    """A whole number from the environment."""
    return int(os.environ.get(name, default))


def mistyped(draw: random.Random, word: str) -> str:
    """The word with two neighbours exchanged."""
    at = draw.randrange(1, len(word) - 1)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


KINDS: dict[str, Kind] = {
    "no words (browse)": lambda draw, _: {"sort": draw.choice(["newest", "price", "title"])},
    "commonest words": lambda draw, c: {"query": draw.choice(c.words[:20])},
    "common words": lambda draw, c: {"query": draw.choice(c.words[20:500])},
    "rare words": lambda draw, c: {"query": draw.choice(c.words[500:])},
    "two common words": lambda draw, c: {"query": " ".join(draw.sample(c.words[:500], 2))},
    "a shopper's query": lambda _, c: {"query": c.text(2)},
    "four words": lambda _, c: {"query": c.text(4)},
    "typing, 2 to 4 letters": lambda draw, c: {"query": draw.choice(c.words)[: draw.randint(2, 4)]},
    "a mistyped word": lambda draw, c: {
        "query": mistyped(draw, draw.choice([w for w in c.words[:3000] if len(w) > 3]))
    },
    "SKU": lambda draw, _: {"query": f"SKU-{draw.randint(1, 50_000):06d}-M"},
    "filters: vendor and tag": lambda draw, _: {"vendors": [f"Vendor {draw.randint(1, 50)}"], "tags": ["tag 1"]},
    "filter: price range": lambda draw, _: {"min_price": str(draw.randint(1, 400)), "max_price": "410"},
    "common word, filtered, by price": lambda draw, c: {
        "query": draw.choice(c.words[:100]),
        "product_types": ["Type 1"],
        "available": True,
        "sort": "price",
    },
    "common word, 20th page": lambda draw, c: {"query": draw.choice(c.words[:100]), "page_token": "480"},
}


async def load(database: Database, merchant_id: str, seed: int, count: int) -> None:
    """Keep a catalogue, in batches as from deliveries."""
    products = Catalogue(seed=seed).products(count)
    while batch := list(islice(products, BATCH)):
        async with database.worker() as connection:
            told = [Told(merchant_id, each, each.updated_at, each.updated_at) for each in batch if each.updated_at]
            await repository.apply(connection, told)


async def load_others(database: Database, names: Iterator[int]) -> None:
    for number in names:
        await load(database, f"other-{number}", number + 2, OTHER_PRODUCTS)


async def measure(stub: Any, kind: Kind, searches: int, backend: psutil.Process) -> tuple[list[float], float]:
    """Seconds of each search, one after another, and the processor time of one, here and in PostgreSQL."""
    draw, catalogue, took = random.Random(7), Catalogue(), []
    before = processor_seconds(backend)
    with as_merchant(LARGE, role="shopper"):
        for _ in range(searches):
            request = pb.SearchProductsRequest(page_size=24, **kind(draw, catalogue))
            started = time.perf_counter()
            await stub.SearchProducts(request)
            took.append(time.perf_counter() - started)
    return took, (processor_seconds(backend) - before) / searches


def processor_seconds(backend: psutil.Process) -> float:
    """What this process and PostgreSQL's for it have taken so far."""
    times = backend.cpu_times()
    return time.process_time() + times.user + times.system


async def explain(database: Database) -> None:
    """How the commonest word is looked up, through the view and, to compare, through the table."""
    word = Catalogue().words[0]
    for source in ("searchable", "search"):
        async with database.request(LARGE) as connection:
            await connection.execute("SELECT set_config('enable_seqscan', 'off', true)")
            term = await connection.fetchval("SELECT term_id FROM products.terms WHERE term = $1", word)
            rows = await connection.fetch(
                f"""
                EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) SELECT product_id FROM products.{source}
                WHERE merchant_id = '{LARGE}' AND terms && '{{{term}}}'::bigint[] LIMIT 2001
                """
            )
        out.print(f"\nThrough products.{source}:", *(row[0] for row in rows), sep="\n", markup=False)


async def bench(url: str) -> None:
    """Load, measure, print."""
    count, others, searches = setting("PRODUCTS", 100_000), setting("OTHERS", 50), setting("SEARCHES", 300)
    await migrate(Placement(database_url=url), [SERVICE])
    pools = Pools(8)
    database = Database(await pools.open(url), SERVICE.name)
    started = time.perf_counter()
    await load(database, LARGE, 1, count)
    taken = time.perf_counter() - started
    out.print(f"{count:,} products kept in {taken:.0f} s: {count / taken:,.0f} a second, in batches of {BATCH}")
    names = iter(range(others))
    await asyncio.gather(*(load_others(database, names) for _ in range(OTHER_WRITERS)))
    async with database.session() as connection:
        await connection.execute("ANALYZE")
        size = await connection.fetchval(
            "SELECT pg_size_pretty(sum(pg_total_relation_size(c.oid))) FROM pg_class c "
            "WHERE c.relnamespace = 'products'::regnamespace AND c.relkind = 'r'"
        )
    out.print(f"beside {others} merchants of {OTHER_PRODUCTS:,}: {size} in all")
    await pools.close()
    pools = Pools(1)
    database = Database(await pools.open(url), SERVICE.name)
    methods = MethodTable()
    servicer = ProductsGrpc(
        ProductsService(database, Outbox("products"), system_clock),
        ProductImports(database, Outbox("products"), system_clock),
    )
    add_ProductsServiceServicer_to_server(servicer, methods)  # type: ignore[arg-type]
    stub: Any = ProductsServiceStub(ClientChannel(LocalChannel(methods), "products"))  # type: ignore[arg-type]
    table = Table(title=f"SearchProducts, {searches} of each kind, one after another", title_justify="left")
    table.add_column("")
    for name in ("p50", "p95", "p99", "processor"):
        table.add_column(name, justify="right")
    everything: list[float] = []
    async with database.session() as connection:  # of a pool of one, so this is PostgreSQL's process for every search
        backend = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()"))
    for name, kind in KINDS.items():
        took, processor = await measure(stub, kind, searches, backend)
        everything += took
        cells = [f"{1000 * percentile(took, share):.1f} ms" for share in (0.5, 0.95, 0.99)]
        table.add_row(name, *cells, f"{1000 * processor:.1f} ms")
    table.add_section()
    table.add_row("all", *(f"{1000 * percentile(everything, share):.1f} ms" for share in (0.5, 0.95, 0.99)))
    out.print(table)
    if setting("PLAN", 0):
        await explain(database)
    await pools.close()


def main() -> None:
    """Measure on a PostgreSQL of its own."""
    logs.configure(Settings(log_level="ERROR", log_format="console"))
    out.print(f"{machine.machine()}, {os.cpu_count()} cores, Python {machine.python_version()}")
    with tempfile.TemporaryDirectory(prefix="loyalnest-bench-", ignore_cleanup_errors=True) as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", durable=False)
        server.start()
        try:
            server.create_database_if_missing("bench")
            asyncio.run(bench(server.url("bench")))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
