"""What providers' answers mean, and what is read out of their headers."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.event_tracking.answers import MOST_RETRY_AFTER, refused, seconds_to_wait
from loyalnest.event_tracking.models import NotTaken, Rejected, Unknown

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "validation_error", Rejected("p answered 400 (validation_error).")),
        (409, "invalid_idempotent_request", Rejected("p answered 409 (invalid_idempotent_request).")),
        (409, "concurrent_idempotent_requests", NotTaken("p answered 409 (concurrent_idempotent_requests).", 7)),
        (413, "", Rejected("p answered 413.")),
        (429, "", NotTaken("p answered 429.", 7, throttled=True)),
        (408, "", NotTaken("p answered 408.", 7)),
        (503, "", NotTaken("p answered 503.", 7)),
        (401, "", NotTaken("p answered 401. Check its address and key in the settings.", 7)),
        (302, "", NotTaken("p answered 302. Check its address and key in the settings.", 7)),
        (500, "", Unknown("p answered 500.")),
        (504, "21211", Unknown("p answered 504 (21211).")),
        (422, "anna@example.com is wrong", Rejected("p answered 422.")),
    ],
)
def test_answers(status: int, code: str, expected: object) -> None:
    assert refused("p", status, code, "7", NOW) == expected


@given(st.integers(300, 599), st.text(max_size=80))
def test_no_words_of_the_provider_go_on(status: int, code: str) -> None:
    error = refused("p", status, code, None, NOW).error  # type: ignore[union-attr]
    assert "@" not in error
    assert len(error) < 160


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("120", 120),
        (" 5 ", 5),
        ("-5", 0),
        ("1e3", 0),
        ("soon", 0),
        ("٣", 0),
        ("99999999999", MOST_RETRY_AFTER),
        ("Fri, 01 May 2026 12:01:00 GMT", 60),
        ("Fri, 01 May 2026 11:00:00 GMT", 0),
        ("Fri, 01 May 2026 12:01:00", 0),
        ("Fri, 01 May 9999 12:01:00 GMT", MOST_RETRY_AFTER),
    ],
)
def test_retry_after(header: str | None, seconds: float) -> None:
    assert seconds_to_wait(header, NOW) == seconds


@given(st.text(max_size=60))
def test_no_retry_after_breaks_anything(header: str) -> None:
    assert 0 <= seconds_to_wait(header, NOW) <= MOST_RETRY_AFTER


@given(st.integers(0, 80_000))
def test_a_date_means_the_time_until_it(ahead: int) -> None:
    text = (NOW + timedelta(seconds=ahead)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert seconds_to_wait(text, NOW) == ahead
