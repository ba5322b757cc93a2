"""What every test may ask for."""

import signal
from types import FrameType

pytest_plugins = ["fixtures.servers", "fixtures.shopify"]


def pytest_configure() -> None:
    """Let a terminated run tear down its fixtures, so that no server is left running."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
