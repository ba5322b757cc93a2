"""What was acknowledged is applied exactly once, whatever is killed in between."""

from integration.points.mortal import killed_before_each_statement
from integration.points.support import Points, delivery, order, refund


async def test_a_batch_that_is_killed_anywhere_is_applied_once(points: Points) -> None:
    await points.add_merchant("globex", rate="2", joining=5)
    kills = 0
    async for victim in killed_before_each_statement(points):
        kills += 1
        before, after = kills * 10, kills * 10 + 1
        await points.apply(delivery("globex", order=order(before, kills)))  # so that rows are updated as well as made
        batch = [
            delivery("globex", refund=refund(kills, before, "50")),
            delivery("globex", order=order(after, kills)),
            delivery("globex", customer_id=kills),
        ]
        await victim.run(lambda: victim.deliveries.handle(batch))  # noqa: B023 - run at once
        if victim.died:
            assert await points.balances("globex", kills) == (200, 0, 0, 0)
        await points.apply(*batch)
        assert await points.balances("globex", kills) == (100 + 200 + 5, 0, 0, 0)
    assert kills > 10
    assert await points.problems("globex") == []
    assert len(await points.told("points.earned")) == 3 * kills
    assert len(await points.told("points.clawed_back")) == kills


async def test_a_redemption_that_is_killed_anywhere_costs_its_points_once(points: Points) -> None:
    kills = 0
    async for victim in killed_before_each_statement(points):
        kills += 1
        await points.earn(150, kills)
        await victim.run(lambda: victim.redemptions.redeem("acme", kills, "five-off", f"key {kills}"))  # noqa: B023
        # The caller comes again with its key, or gives up and the job finishes what is left.
        if kills % 2:
            points.clock.advance(minutes=1)
            await points.redemptions.finish_left_held()
        done = await points.redemptions.redeem("acme", kills, "five-off", f"key {kills}")
        assert done.status == "issued"
        assert await points.balances("acme", kills) == (50, 0, 0, 0)
    assert kills > 8
    assert await points.problems() == []
    assert len(await points.told("points.redeemed")) == kills


async def test_an_adjustment_that_is_killed_anywhere_is_made_once(points: Points) -> None:
    kills = 0
    async for victim in killed_before_each_statement(points):
        kills += 1
        await victim.run(lambda: victim.service.adjust("acme", kills, 40, "sorry", f"key {kills}"))  # noqa: B023
        await points.service.adjust("acme", kills, 40, "sorry", f"key {kills}")
        assert await points.balances("acme", kills) == (40, 0, 0, 0)
    assert kills > 5
    assert await points.problems() == []
    assert len(await points.told("audit_log")) == kills
