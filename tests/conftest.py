"""What every test may ask for."""

import os
import signal
from types import FrameType

# Tests start servers as child processes while gRPC runs; its handlers around a fork then write into the child's output
# and close its descriptors. Read when gRPC is first imported, so it is set before anything else is.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

pytest_plugins = ["fixtures.logs", "fixtures.servers", "fixtures.shopify"]


def pytest_configure() -> None:
    """Let a terminated run tear down its fixtures, so that no server is left running."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
