"""The rule of scores and segments against a reference that works another way."""

import re
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.rfm import events
from loyalnest.rfm.scoring import GRID, SEGMENTS, CutPoints, other_places, recency_places, segment_of
from unit.rfm import reference
from unit.rfm.reference import PATTERNS, Values

DAY = date(2026, 1, 1)

customers = st.builds(
    Values,
    st.integers(0, 12).map(lambda days: DAY + timedelta(days=days)),
    st.integers(1, 7),
    st.integers(0, 30).map(lambda units: Decimal(units) / 4),
)
populations = st.lists(customers, min_size=1, max_size=60)


def cut_points(population: list[Values]) -> CutPoints:
    """As the refresh reads them off the sorted values."""
    at_recency, at_others = recency_places(len(population)), other_places(len(population))
    dates, orders, money = (sorted(column) for column in zip(*population, strict=True))
    return CutPoints(
        [dates[place - 1] for place in at_recency],
        [orders[place - 1] for place in at_others],
        [money[place - 1] for place in at_others],
    )


@given(populations)
def test_cut_points_give_every_customer_its_score_by_the_rule(population: list[Values]) -> None:
    cuts = cut_points(population)
    for customer, expected in reference.scores(dict(enumerate(population))).items():
        assert cuts.score(*population[customer]) == expected[:3]


@given(populations, customers)
def test_a_value_that_was_not_there_scores_as_against_the_population(
    population: list[Values], newcomer: Values
) -> None:
    dates, orders, money = (sorted(column) for column in zip(*population, strict=True))
    assert cut_points(population).score(*newcomer) == (
        reference.by_recency(dates, newcomer.last_order),
        reference.by_size(orders, newcomer.orders),
        reference.by_size(money, newcomer.monetary),
    )


@given(populations)
def test_the_rule_as_it_is_written(population: list[Values]) -> None:
    n, cuts = len(population), cut_points(population)
    for last_order, orders, monetary in population:
        assert cuts.score(last_order, orders, monetary) == (
            (5 * sum(each.last_order <= last_order for each in population) + n - 1) // n,
            1 + 5 * sum(each.orders < orders for each in population) // n,
            1 + 5 * sum(each.monetary < monetary for each in population) // n,
        )


@given(populations)
def test_latest_dates_score_5_and_smallest_values_score_1(population: list[Values]) -> None:
    cuts = cut_points(population)
    latest = max(each.last_order for each in population)
    fewest, least = min(each.orders for each in population), min(each.monetary for each in population)
    assert cuts.score(latest, fewest, least) == (5, 1, 1)


def test_a_single_customer_is_new() -> None:
    scores = cut_points([Values(DAY, 4, Decimal("9.99"))]).score(DAY, 4, Decimal("9.99"))
    assert scores == (5, 1, 1)
    assert segment_of(scores[0], scores[1]) == "new"


def test_five_different_customers_take_one_score_each() -> None:
    population = [Values(DAY + timedelta(days=place), place, Decimal(place)) for place in range(1, 6)]
    cuts = cut_points(population)
    assert [cuts.score(*each) for each in population] == [(score, score, score) for score in range(1, 6)]


@pytest.mark.parametrize("recency", range(1, 6))
@pytest.mark.parametrize("frequency", range(1, 6))
def test_every_cell_is_in_exactly_one_segment(recency: int, frequency: int) -> None:
    declared = [
        segment
        for segment, areas in SEGMENTS.items()
        if any(str(recency) in recencies and str(frequency) in frequencies for recencies, frequencies in areas)
    ]
    designed = [name for name, pattern in PATTERNS.items() if re.fullmatch(pattern, f"{recency}{frequency}")]
    assert declared == designed
    assert len(declared) == 1
    assert segment_of(recency, frequency) == declared[0]


def test_segments_are_those_of_the_design_and_each_has_a_cell() -> None:
    assert set(GRID) == set(SEGMENTS) == set(PATTERNS) == set(events.SEGMENTS)
    assert len(GRID) == 25


def test_a_customer_outside_the_population_has_no_segment() -> None:
    assert segment_of(0, 0) == ""
