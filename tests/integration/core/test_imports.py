"""Imports of customers from files."""

import pytest

from integration.core.support import ANNA, Core, at
from loyalnest.api_gateway.events import PersonalData
from loyalnest.core import core_pb2 as pb
from loyalnest.core.repository import Registry
from loyalnest.kit import imports
from loyalnest.kit.database import Connection
from loyalnest.kit.errors import InvalidInput, NotFound, RaceLost, TooLarge

HEADER = "customer_id,email,phone,first_name,last_name,accepts_marketing\n"


async def run(core: Core, text: str, merchant: str = "a") -> pb.Import:
    content = (HEADER + text).encode()
    done: pb.Import = await core.call("ImportCustomers", pb.ImportCustomersRequest(csv=content), merchant)
    return done


def counted(done: pb.Import) -> tuple[int, int, int, int, int]:
    return done.rows, done.created, done.updated, done.unchanged, done.rejected


async def test_good_rows_are_taken_and_wrong_ones_reported(core: Core) -> None:
    await core.deliveries.handle([await core.told(2, 0, ANNA)])
    done = await run(
        core,
        "1,one@x.org,+49 30 1,Ona,Uno,true\n2,two@x.org,,,,\nx,bad,,,,\n1,again@x.org,,,,\n3,,,,,maybe\n4\n",
    )
    assert done.status == "completed"
    assert counted(done) == (6, 1, 1, 0, 4)
    assert [(each.line, each.column) for each in done.problems] == [
        (4, "customer_id"),
        (4, "email"),
        (5, "customer_id"),
        (6, "accepts_marketing"),
        (7, ""),
    ]
    one, two = await core.customer(1), await core.customer(2)
    assert (one.email, one.last_name, one.accepts_marketing, one.source) == ("one@x.org", "Uno", True, "import")
    assert (two.email, two.first_name) == ("two@x.org", ANNA.first_name), "an empty cell says nothing"
    found = await core.call("GetImport", pb.GetImportRequest(import_id=done.import_id))
    assert found == done
    assert await core.search("ONE@x.org") == [1]


async def test_the_same_file_again_changes_nothing(core: Core) -> None:
    text = "".join(f"{n},{n}@x.org,,,,false\n" for n in range(1, 1300))
    assert counted(await run(core, text)) == (1299, 1299, 0, 0, 0)
    told = len(await core.published("customer.created"))
    core.now = at(200_000)
    await core.deliveries.handle([await core.told(5, 150_000, PersonalData(email="newer@x.org"))])
    assert counted(await run(core, text)) == (1299, 0, 0, 1299, 0)
    assert (await core.customer(5)).email == "newer@x.org", "a file does not bring back what was changed since"
    assert (len(await core.published("customer.created")), told) == (1299, 1299)
    assert len(await core.published("customer.updated")) == 1


async def test_a_corrected_file_corrects(core: Core) -> None:
    await run(core, "1,wrong@x.org,,,,\n")
    core.now = at(100_001)
    assert counted(await run(core, "1,right@x.org,,,,\n")) == (1, 0, 1, 0, 0)
    assert (await core.customer(1)).email == "right@x.org"


async def test_what_a_killed_import_left_is_finished_by_the_same_file(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "BATCH", 10)
    text = "".join(f"{n},{n}@x.org,,,,\n" for n in range(1, 31))
    store = Registry.store
    calls = 0

    async def killed(self: Registry, connection: Connection) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RuntimeError("killed")
        await store(self, connection)

    monkeypatch.setattr(Registry, "store", killed)
    with pytest.raises(Exception, match="log says why"):
        await run(core, text)
    (failed,) = (await core.call("ListImports", pb.ListImportsRequest())).imports
    assert (failed.status, failed.created) == ("failed", 20)
    monkeypatch.setattr(Registry, "store", store)
    assert counted(await run(core, text)) == (30, 10, 0, 20, 0)


async def test_an_import_that_is_no_longer_heard_of_shows_as_interrupted(core: Core) -> None:
    done = await run(core, "1,,,,,\n")
    async with core.database.request("a") as connection:
        await connection.execute("UPDATE core.customer_import_logs SET status = 'running', finished_at = NULL")
    request = pb.GetImportRequest(import_id=done.import_id)
    assert (await core.call("GetImport", request)).status == "running"
    core.now = at(100_006)
    assert (await core.call("GetImport", request)).status == "interrupted"


async def test_a_lost_race_is_tried_again(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Registry.store
    losses = 2

    async def lose(self: Registry, connection: Connection) -> None:
        nonlocal losses
        losses -= 1
        if losses >= 0:
            raise RaceLost("lost")
        await store(self, connection)

    monkeypatch.setattr(Registry, "store", lose)
    assert counted(await run(core, "1,a@x.org,,,,\n")) == (1, 1, 0, 0, 0)


async def test_a_file_that_cannot_be_read_leaves_no_trace(core: Core) -> None:
    for content in (b"", b"anna@example.com,1\n", b"customer_id\n\xff\n", b'customer_id,email\n1,"a\n'):
        with pytest.raises(InvalidInput):
            await core.call("ImportCustomers", pb.ImportCustomersRequest(csv=content))
    with pytest.raises(TooLarge):
        await core.call("ImportCustomers", pb.ImportCustomersRequest(csv=b"x" * (10 * 1024 * 1024 + 1)))
    assert list((await core.call("ListImports", pb.ListImportsRequest())).imports) == []
    assert await core.published() == []


async def test_a_report_is_cut_and_the_count_is_not(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "MAX_PROBLEMS", 3)
    done = await run(core, "x,,,,,\n" * 7)
    assert (done.rejected, len(done.problems)) == (7, 3)


async def test_imports_are_listed_newest_first_and_one_merchant_sees_its_own(core: Core) -> None:
    done = [await run(core, f"{n},,,,,\n") for n in range(1, 4)]
    other = await run(core, "9,,,,,\n", "b")
    page = await core.call("ListImports", pb.ListImportsRequest(page_size=2))
    rest = await core.call("ListImports", pb.ListImportsRequest(page_token=page.next_page_token))
    listed = [each.import_id for each in (*page.imports, *rest.imports)]
    assert listed == [each.import_id for each in reversed(done)]
    with pytest.raises(NotFound):
        await core.call("GetImport", pb.GetImportRequest(import_id=other.import_id))
    with pytest.raises(InvalidInput):
        await core.call("GetImport", pb.GetImportRequest(import_id="x"))
