"""Whom an entry names, and what opens what it says of them."""

import pytest

from fixtures.keys import KeyStore
from loyalnest.admin_core.subjects import (
    Personal,
    Subject,
    customer_hash,
    customers_named,
    hidden,
    open_personal,
    seal_personal,
)
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.events import new_id


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (Personal("admin:1", "customer:5", {}, {}), [5]),
        (Personal("shopper:7", "redemption:x", {}, {}), [7]),
        (Personal("admin:1", "redemption:x", {}, {"customer_id": "9"}), [9]),
        (
            Personal("shopper:7", "customer:5", {"referrer_id": "8"}, {"friend_id": "7", "old_customer_id": "5"}),
            [5, 7, 8],
        ),
        (Personal("admin:1", "customer:-5", {}, {"customer_id": "-9"}), []),
        (Personal("admin:1", "settings", {"customer_id": "all"}, {"orders": "5"}), []),
        (Personal("admin:1", "customer:12345678901234567890", {}, {}), []),
        (Personal("", "", {}, {}), []),
    ],
)
def test_whom_an_entry_names(said: Personal, named: list[int]) -> None:
    assert customers_named(said) == named


async def test_only_all_salts_and_the_merchants_key_open_an_entry() -> None:
    store = KeyStore()
    ring = KeyRing(store, store.keks)
    keys, theirs = await ring.for_merchant("acme"), await ring.for_merchant("globex")
    event_id, said = new_id(), Personal("admin:1", "customer:5", {"a": "1"}, {"b": "2"})
    both = [Subject(new_id(), bytes([number]) * 32) for number in range(2)]
    sealed = seal_personal(keys, both, event_id, said)
    assert open_personal(keys, both, event_id, sealed) == said
    assert open_personal(theirs, both, event_id, sealed) is None
    assert open_personal(keys, both, new_id(), sealed) is None
    for wrong in (both[:1], both[1:], both[::-1], []):
        assert open_personal(keys, wrong, event_id, sealed) is None
    assert customer_hash(keys.index_key, 5) != customer_hash(theirs.index_key, 5)
    assert "5" not in hidden(both[0]).removeprefix(f"customer:~{both[0].subject_id}")
