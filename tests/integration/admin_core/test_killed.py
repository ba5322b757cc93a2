"""Killed before any statement of any step, a request goes on as if nothing had been."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial

from fixtures.mortal import killed_before_each_statement, until_death
from integration.admin_core.support import EMPTY, START, AdminCore, said
from loyalnest.admin_core.events import GdprRequestCompleted
from loyalnest.kit.events import Event


async def victims(admin_core: AdminCore) -> AsyncIterator[AdminCore]:
    """Services on empty tables that die before their first, second, … statement, up to the first that lives."""
    async for database in killed_before_each_statement(admin_core.database, admin_core.url):
        await admin_core.sql(EMPTY)
        admin_core.now = START
        yield AdminCore(database, admin_core.url, admin_core.store, admin_core.installed)


async def survive(mortal: Callable[[], Awaitable[object]], healthy: Callable[[], Awaitable[object]]) -> bool:
    """Do something in the victim, and again in another process, as the bus does that got no answer."""
    died = await until_death(mortal)
    await healthy()
    return died


async def test_a_batch_of_entries(admin_core: AdminCore) -> None:
    deaths = 0
    events = [said(subject=f"customer:{n % 3 + 1}", merchant=f"shop-{n % 2}", number=str(n)) for n in range(10)]
    async for victim in victims(admin_core):
        deaths += await survive(partial(victim.trail.handle, events), partial(admin_core.trail.handle, events))
        for merchant, first in (("shop-0", 0), ("shop-1", 1)):
            shown = await admin_core.entries(merchant)
            assert [int(each.after["number"]) for each in reversed(shown)] == list(range(first, 10, 2))
            assert await admin_core.verified(merchant) == []
    assert deaths > 5


async def test_a_delivery(admin_core: AdminCore) -> None:
    deaths = 0
    events: list[Event] = [
        await admin_core.delivered("customers/redact", {"customer": {"id": 5}}),
        await admin_core.delivered("app/uninstalled"),
        await admin_core.delivered("shop/redact", merchant="globex"),
    ]
    async for victim in victims(admin_core):
        deaths += await survive(
            partial(victim.deliveries.handle, events), partial(admin_core.deliveries.handle, events)
        )
        assert await admin_core.statuses() == ["open", "scheduled"]
        assert await admin_core.statuses("globex") == ["open"]
        assert sorted(each.kind for each in await admin_core.created()) == ["customer_redact", "shop_redact"]
        assert sorted(await admin_core.audited()) == ["gdpr.requested", "gdpr.requested", "gdpr.scheduled"]
    assert deaths > 5


async def test_the_last_confirmation(admin_core: AdminCore) -> None:
    deaths = 0
    async for victim in victims(admin_core):
        await admin_core.ask("customers/redact")
        await admin_core.deliveries.handle([await admin_core.delivered("shop/redact")])
        told = [
            (each, each.confirmed(name, {}, START))
            for each in await admin_core.created()
            for name in ("core", "points")
        ]
        events = [said_by.event("acme", str(each.request_id)) for each, said_by in told]
        deaths += await survive(
            partial(victim.confirmations.handle, events), partial(admin_core.confirmations.handle, events)
        )
        assert await admin_core.statuses() == ["completed", "completed"]
        assert len(await admin_core.told(GdprRequestCompleted.topic)) == 2
        assert (await admin_core.audited()).count("gdpr.confirmed") == 4
    assert deaths > 5


async def test_the_jobs_and_a_return(admin_core: AdminCore) -> None:
    deaths = 0
    async for victim in victims(admin_core):
        await admin_core.ask("customers/redact")
        await admin_core.deliveries.handle([await admin_core.delivered("app/uninstalled")])
        await admin_core.deliveries.handle([await admin_core.delivered("app/uninstalled", merchant="globex")])
        victim.now = admin_core.now = START + timedelta(hours=1)
        back = admin_core.come_back("globex")
        admin_core.installed.clear()  # as far as the job could ask
        deaths += await survive(
            partial(victim.deliveries.installed, [back]), partial(admin_core.deliveries.installed, [back])
        )
        victim.now = admin_core.now = START + timedelta(hours=49)
        deaths += await survive(victim.advance.run, admin_core.advance.run)
        assert await admin_core.statuses() == ["open", "open"]
        assert await admin_core.statuses("globex") == ["cancelled"]
        told = [str(each.kind) for each in await admin_core.created()]
        assert (told.count("shop_redact"), told.count("customer_redact")) == (1, 2)
    assert deaths > 10
