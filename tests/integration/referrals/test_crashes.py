"""What was acknowledged is applied exactly once, whatever is killed in between."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fixtures import mortal
from integration.referrals.support import Rig, new_number, order, person, refund


class Victim(Rig):
    """The service on a mortal database."""

    died: bool = False

    async def run(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Do the work; dying of the kill is expected, any other failure is not."""
        self.died = await mortal.until_death(work)


async def killed_before_each_statement(rig: Rig) -> AsyncIterator[Victim]:
    """Victims that die before their first, second, … statement, up to the first that lives through the test's work."""
    async for database in mortal.killed_before_each_statement(rig.database, rig.address):
        yield Victim(database, rig.address, rig.redis, rig.clock, keys=rig.keys)


async def test_a_batch_that_is_killed_anywhere_is_applied_once(rig: Rig) -> None:
    kills = 0
    async for victim in killed_before_each_statement(rig):
        kills += 1
        code, friends = await rig.code(kills), (1000 + kills, 2000 + kills)
        earlier = await rig.buy(code, friends[0])
        batch = [
            await rig.delivery(order=order(new_number(), friends[1], referral_code=code), person=person("a@b.example")),
            await rig.delivery(refund=refund(earlier)),
        ]
        await victim.run(lambda: victim.deliveries.handle(batch))  # noqa: B023 - run at once
        if victim.died:
            assert await rig.state(friends[0]) == ("completed", "")
            assert await rig.of_friend(friends[1]) is None
        await rig.apply(*batch)
        assert await rig.state(friends[0]) == ("reversed", "refunded")
        assert (await rig.state(friends[1]))[0] in {"completed", "refused"}  # the next one has the same address
    assert kills > 15
    assert len(await rig.told("referral.reversed")) == kills
    assert len(await rig.told("referral.completed")) == kills + 1


async def test_a_share_that_is_killed_anywhere_is_sent_once(rig: Rig) -> None:
    kills = 0
    async for victim in killed_before_each_statement(rig):
        kills += 1
        await victim.run(lambda: victim.sharing.share("acme", kills, "email", "b@example.com"))  # noqa: B023
        await rig.sharing.share("acme", kills, "email", "b@example.com")
    assert kills > 8
    assert len(await rig.told("referral.shared")) == kills


async def test_a_review_that_is_killed_anywhere_decides_once(rig: Rig) -> None:
    kills = 0
    async for victim in killed_before_each_statement(rig):
        kills += 1
        referrer, friend, home = 1000 + kills, 2000 + kills, person("", "", f"Main St {kills}")
        await rig.meet(referrer, home)
        await rig.buy(await rig.code(referrer), friend, person=home)
        found = await rig.of_friend(friend)
        assert found is not None
        number = found.referral_id
        await victim.run(lambda: victim.service.review("acme", number, approve=True, note="A household."))  # noqa: B023
        await rig.service.review("acme", number, approve=True, note="A household.")
        assert await rig.state(friend) == ("completed", "review")
    assert kills == 4  # three statements, and the one that lives
    assert len(await rig.told("referral.completed")) == len(await rig.told("audit_log")) == kills
