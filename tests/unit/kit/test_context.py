"""Who a call is made for."""

import asyncio
import time

import pytest

from loyalnest.kit.context import CallContext, as_merchant, current, require_role, required_merchant, use
from loyalnest.kit.errors import Forbidden, Unauthenticated


def test_outside_a_call_the_system_acts_for_nobody() -> None:
    assert current() == CallContext(merchant_id="", actor="system", role="system", deadline=None)
    with pytest.raises(Unauthenticated):
        required_merchant()


def test_a_context_holds_inside_its_block_and_ends_with_it() -> None:
    def fail() -> None:
        with as_merchant("acme", actor="7", role="staff"):
            with use(CallContext(merchant_id="zenith")):
                assert required_merchant() == "zenith"
            assert (required_merchant(), current().actor, current().role) == ("acme", "7", "staff")
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert current() == CallContext()


def test_changing_the_merchant_keeps_the_deadline() -> None:
    deadline = time.monotonic() + 5
    with use(CallContext(deadline=deadline)), as_merchant("acme"):
        assert current().deadline == deadline
        left = current().remaining()
        assert left is not None
        assert 4 < left <= 5
    assert CallContext(deadline=time.monotonic() - 1).remaining() == 0.0
    assert CallContext().remaining() is None


async def test_tasks_do_not_disturb_each_other() -> None:
    async def serve(merchant_id: str) -> str:
        with as_merchant(merchant_id):
            await asyncio.sleep(0.01)
            return required_merchant()

    with as_merchant("outer"):
        assert list(await asyncio.gather(serve("a"), serve("b"))) == ["a", "b"]
        assert await asyncio.create_task(asyncio.to_thread(required_merchant)) == "outer"


@pytest.mark.parametrize(
    ("role", "allowed"), [("owner", True), ("staff", True), ("system", True), ("support", False), ("", False)]
)
def test_roles(role: str, allowed: bool) -> None:
    with as_merchant("acme", actor="x", role=role):
        if allowed:
            assert require_role("owner", "staff").role == role
        else:
            with pytest.raises(Forbidden, match=f"owner or staff; you act as {role or 'nobody'}"):
                require_role("owner", "staff")
