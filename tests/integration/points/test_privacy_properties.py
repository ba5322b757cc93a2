"""A redaction at any moment between any deliveries changes no sum, and nobody else's points.

Two merchants get the same deliveries; at one of them a customer is redacted on the way, once or several times.
"""

from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.privacy import asked
from integration.points.support import Points, delivery, new_number, order, refund
from loyalnest.kit.errors import PreconditionFailed
from loyalnest.kit.events import Event

REDACTED, OTHER = CUSTOMERS = (1, 2)


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Deliveries of a few orders in any order, repeated or not, with redactions among them."""
    numbers = st.integers(0, 3)
    step = st.one_of(
        st.tuples(st.just("order"), numbers, st.booleans()),
        st.tuples(st.just("refund"), numbers, st.integers(0, 1)),
        st.tuples(st.just("cancel"), numbers),
        st.tuples(st.just("redeem"), st.sampled_from(CUSTOMERS)),
        st.tuples(st.just("redact")),
        st.tuples(st.just("expire")),
    )
    return draw(st.lists(step, min_size=3, max_size=14))


def about(merchant_id: str, step: tuple[Any, ...], number: int, buyer: int, base: int) -> Event:
    """The delivery of a step."""
    name, _, *facts = step
    if name == "refund":
        return delivery(merchant_id, refund=refund(number * 2 + facts[0], number, base // 3))
    paid = name == "order" and facts[0]
    return delivery(merchant_id, order=order(number, buyer, base, paid=paid, cancelled=name == "cancel"))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    story=steps(),
    buyers=st.lists(st.sampled_from(CUSTOMERS), min_size=4, max_size=4),
    bases=st.lists(st.integers(0, 250), min_size=4, max_size=4),
    approval_days=st.integers(0, 1),
)
async def test_sums_and_others_are_as_without_it(
    points: Points, story: list[tuple[Any, ...]], buyers: list[int], bases: list[int], approval_days: int
) -> None:
    run, first = new_number(), new_number() * 10
    redacting, plain = f"redacting-{run}", f"plain-{run}"
    for merchant_id in (redacting, plain):
        await points.add_merchant(merchant_id, approvalDays=approval_days, expiryDays=3)
    gone: set[int] = set()
    for name, *facts in story:
        if name == "redact":
            gone.add(REDACTED)
            await points.ask(asked("customer_redact", REDACTED, redacting))
            assert await points.problems(redacting) == []
            continue
        if name == "redeem":
            for merchant_id in (redacting, plain):
                if facts[0] not in gone:
                    with suppress(PreconditionFailed):
                        await points.redemptions.redeem(merchant_id, facts[0], "five-off", str(new_number()))
            continue
        if name == "expire":
            points.clock.advance(days=2)
            await points.jobs.approve()
            await points.jobs.expire()
            continue
        number, buyer, base = first + facts[0], buyers[facts[0]], bases[facts[0]]
        for merchant_id in (redacting, plain):
            await points.apply(about(merchant_id, (name, *facts), number, buyer, base))

    assert await points.problems(redacting) == []
    with_it, without = await points.service.totals(redacting), await points.service.totals(plain)
    for sums in ("lifetime_earned", "lifetime_redeemed", "orders"):
        assert getattr(with_it, sums) == getattr(without, sums)
    assert await points.balances(redacting, OTHER) == await points.balances(plain, OTHER)
    # A debt of before is not paid by what the same person earns later, as somebody new, nor by what expires then.
    if "expire" not in {name for name, *_ in story}:
        assert (with_it.pending, with_it.available - with_it.debt) == (
            without.pending,
            without.available - without.debt,
        )
