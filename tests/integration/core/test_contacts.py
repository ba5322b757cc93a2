"""How customers are reached: for LoyalNest's own services, in the language of their latest checkout."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from fixtures.privacy import asked
from integration.core.support import ANNA, Core, at
from loyalnest.api_gateway.events import WebhookReceived
from loyalnest.core import core_pb2 as pb
from loyalnest.core.events import CustomerUpdated
from loyalnest.kit.errors import Forbidden, InvalidInput
from loyalnest.kit.events import Event


async def contacts(core: Core, *customer_ids: int, merchant: str = "a") -> list[Any]:
    answer = await core.call("GetContacts", pb.GetContactsRequest(customer_ids=customer_ids), merchant, role="system")
    return list(answer.contacts)


async def spoken(core: Core, minutes: float, locale: str, customer_id: int = 1) -> Event:
    """An order whose checkout was in `locale`."""
    event = await core.ordered(customer_id, minutes)
    delivery = WebhookReceived.read(event)
    assert delivery.order is not None
    changed = msgspec.structs.replace(delivery, order=msgspec.structs.replace(delivery.order, locale=locale))
    return changed.event("a", str(customer_id))


async def test_several_customers_at_once_and_only_ones_own(core: Core) -> None:
    await core.deliveries.handle(
        [
            await core.told(1, 0, ANNA, accepts_marketing=True),
            await core.told(2, 0),
            await core.told(3, 0, ANNA, merchant="b"),
        ]
    )
    first, second = await contacts(core, 3, 2, 1, 99)
    assert (first.customer_id, first.email, first.phone) == (1, ANNA.email, ANNA.phone)
    assert (first.first_name, first.last_name, first.accepts_marketing) == (ANNA.first_name, ANNA.last_name, True)
    assert first.created_at == at(0).isoformat()
    assert (second.customer_id, second.email, second.HasField("accepts_marketing")) == (2, "", False)
    assert [each.customer_id for each in await contacts(core, 1, 2, 3, merchant="b")] == [3]
    assert await contacts(core) == []


async def test_the_latest_checkout_tells_the_language(core: Core) -> None:
    await core.deliveries.handle([await spoken(core, 10, "de-DE")])
    await core.deliveries.handle(
        [await spoken(core, 5, "fr"), await spoken(core, 12, ""), await spoken(core, 13, "<b>")]
    )
    assert [each.locale for each in await contacts(core, 1)] == ["de-DE"]
    await core.deliveries.handle([await spoken(core, 11, "ja")])
    assert [each.locale for each in await contacts(core, 1)] == ["ja"]
    changed = [CustomerUpdated.read(each).fields for each in await core.published(CustomerUpdated.topic)]
    assert ["locale"] in changed


async def test_nothing_of_a_redacted_customer_is_left(core: Core) -> None:
    await core.deliveries.handle([await spoken(core, 10, "de-DE"), await core.told(2, 0, ANNA)])
    core.now += timedelta(days=1)
    await core.privacy.handle([asked("customer_redact", 1, "a")])
    assert [each.customer_id for each in await contacts(core, 1, 2)] == [2]
    async with core.database.worker() as connection:
        assert await connection.fetchval("SELECT count(locale) + count(locale_at) FROM core.customers") == 0


@pytest.mark.parametrize("role", ["owner", "staff", "support", "shopper", ""])
async def test_people_may_not_ask(core: Core, role: str) -> None:
    with pytest.raises(Forbidden):
        await core.call("GetContacts", pb.GetContactsRequest(customer_ids=[1]), role=role)


async def test_too_many(core: Core) -> None:
    with pytest.raises(InvalidInput):
        await contacts(core, *range(1, 1002))
