"""Work for one merchant after another: whose failure holds up whom."""

import pytest

from loyalnest.kit.database import OUTAGES
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.jobs import each_merchant


async def test_one_that_fails_does_not_hold_up_the_others_and_is_not_hidden() -> None:
    done: list[str] = []

    async def work(merchant_id: str) -> int:
        if merchant_id in ("bad", "worse"):
            raise ValueError(merchant_id)
        done.append(merchant_id)
        return 2

    with pytest.raises(ValueError, match="bad"):
        await each_merchant("test", ["acme", "bad", "worse", "brew"], work)
    assert done == ["acme", "brew"]
    assert await each_merchant("test", ["acme", "brew"], work) == 4


async def test_an_outage_ends_it_at_once() -> None:
    done: list[str] = []

    async def work(merchant_id: str) -> int:
        done.append(merchant_id)
        raise Unavailable("The database is away.")

    assert issubclass(Unavailable, OUTAGES)
    with pytest.raises(Unavailable):
        await each_merchant("test", ["acme", "brew"], work)
    assert done == ["acme"]
