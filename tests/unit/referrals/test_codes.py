"""Codes and how they are written."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.api_gateway.attribution import referral_code
from loyalnest.kit.shopify.lenient import NOTHING
from loyalnest.referrals.codes import ALPHABET, CODE_LENGTH, channel_of, new_code, parse, path_of
from loyalnest.referrals.models import Channel


def test_a_new_code() -> None:
    made = {new_code() for _ in range(200)}
    assert len(made) == 200
    assert all(len(code) == CODE_LENGTH and set(code) <= set(ALPHABET) for code in made)
    assert not set(ALPHABET) & set("AEIOUYL01")


@pytest.mark.parametrize(
    ("text", "channel", "read"),
    [
        ("BCDFGHJK", "", ("BCDFGHJK", "link")),
        (" bcdfghjk ", "", ("BCDFGHJK", "link")),
        ("BCDFGHJK:SMS", "", ("BCDFGHJK", "sms")),
        ("BCDFGHJK:pigeon", "", ("BCDFGHJK", "link")),
        ("BCDFGHJK:sms", "email", ("BCDFGHJK", "email")),
        ("BCDFGHJK:sms", "pigeon", ("BCDFGHJK", "link")),
        ("", "sms", ("", "link")),
        ("BCD FGH", "sms", ("", "link")),
        ("BCD:sms:sms", "", ("", "link")),
        ("B" * 33, "", ("", "link")),
    ],
)
def test_reading(text: str, channel: str, read: tuple[str, str]) -> None:
    assert parse(text, channel) == read


@given(st.text(alphabet=ALPHABET, min_size=1, max_size=32), st.sampled_from(Channel))
def test_a_link_tells_the_order_its_code_and_channel(code: str, channel: Channel) -> None:
    path = path_of(code, channel)
    assert parse(referral_code(NOTHING, msgspec.Raw(msgspec.json.encode(path)))) == (code, channel)
    assert channel_of(channel.upper()) is channel
