"""The directory of merchants: remembers, asks once, goes by what it knew, and forgets."""

import asyncio

import pytest

from loyalnest.api_gateway import merchants as directory
from loyalnest.api_gateway.merchants import Merchant, Merchants
from loyalnest.kit.errors import LoyalNestError, NotFound, Unavailable


class Auth:
    """What auth would say, and how often it was asked. `now` is the directory's clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked: list[str] = []
        self.secrets: dict[str, tuple[str, ...]] = {"acme.myshopify.com": ("s1",)}
        self.error: LoyalNestError | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.merchants = Merchants(self.lookup, lambda: self.now)

    async def lookup(self, domain: str) -> Merchant:
        self.asked.append(domain)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if domain not in self.secrets:
            raise NotFound("auth's own words")
        return Merchant(domain.partition(".")[0], domain, "active", self.secrets[domain])

    async def secrets_of(self, domain: str = "acme.myshopify.com") -> tuple[str, ...]:
        return (await self.merchants.of_shop(domain)).secrets


@pytest.fixture
def auth() -> Auth:
    return Auth()


async def test_a_shop_is_asked_for_once_in_its_time(auth: Auth) -> None:
    for domain in ("acme.myshopify.com", "ACME.myshopify.com", " acme.myshopify.com"):
        assert await auth.secrets_of(domain) == ("s1",)
    auth.secrets["acme.myshopify.com"] = ("s2", "s1")
    auth.now += directory.KNOWN_SECONDS - 0.1
    assert await auth.secrets_of() == ("s1",)
    auth.now += 0.2
    assert await auth.secrets_of() == ("s2", "s1")
    assert len(auth.asked) == 2


async def test_many_who_ask_at_once_make_one_question(auth: Auth) -> None:
    auth.gate.clear()
    asking = [asyncio.create_task(auth.secrets_of()) for _ in range(10)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.sleep(0)
    auth.gate.set()
    assert await asyncio.gather(*asking[1:]) == [("s1",)] * 9
    assert len(auth.asked) == 1


async def test_an_unknown_shop_is_remembered_for_a_moment(auth: Auth) -> None:
    for _ in range(3):
        with pytest.raises(NotFound, match="No merchant has this shop domain"):
            await auth.secrets_of("new.myshopify.com")
    assert len(auth.asked) == 1
    auth.secrets["new.myshopify.com"] = ("s",)
    auth.now += directory.UNKNOWN_SECONDS
    assert await auth.secrets_of("new.myshopify.com") == ("s",)


async def test_made_up_shops_do_not_fill_the_memory(auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "MOST_UNKNOWN", 10)
    for number in range(50):
        with pytest.raises(NotFound):
            await auth.secrets_of(f"made-up-{number}.myshopify.com")
    assert len(auth.merchants._unknown) == 10
    assert auth.merchants._lookups == {}


@pytest.mark.parametrize("domain", ["", "..", "a b.c", "a/b", "a" * 300, "é.myshopify.com", "x\ny", "{acme}"])
async def test_what_is_no_domain_is_not_asked_for(auth: Auth, domain: str) -> None:
    with pytest.raises(NotFound):
        await auth.secrets_of(domain)
    assert auth.asked == []


@pytest.mark.parametrize("error", [Unavailable("away"), LoyalNestError("broken")])
async def test_while_auth_is_away_what_was_known_counts_for_an_hour(auth: Auth, error: LoyalNestError) -> None:
    assert await auth.secrets_of() == ("s1",)
    auth.error = error
    for _ in range(3):
        auth.now += directory.KNOWN_SECONDS
        assert await auth.secrets_of() == ("s1",)
        assert await auth.secrets_of() == ("s1",)
    assert len(auth.asked) == 4  # once a question fails, it is not put again at once
    auth.now += directory.STALE_SECONDS
    with pytest.raises(Unavailable):
        await auth.secrets_of()
    auth.error = None
    assert await auth.secrets_of() == ("s1",)


async def test_a_shop_that_is_gone_is_forgotten(auth: Auth) -> None:
    await auth.secrets_of()
    del auth.secrets["acme.myshopify.com"]
    auth.now += directory.KNOWN_SECONDS
    with pytest.raises(NotFound):
        await auth.secrets_of()
    auth.error = Unavailable("away")
    auth.now += directory.UNKNOWN_SECONDS
    with pytest.raises(Unavailable):
        await auth.secrets_of()


def test_secrets_are_not_shown() -> None:
    assert "top-secret" not in repr(Merchant("acme", "acme.myshopify.com", "active", ("top-secret",)))
