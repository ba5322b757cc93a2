"""A real worker process that is killed (SIGKILL) before a step of the test's choice.

Run as a module, it imports everything, and then forks a child for each line that it reads: a step's number and the
time. The child works off what is due and dies before that step. Steps are the statements of the database, and the
moments before and after the provider is asked.
"""

import asyncio
import base64
import json
import os
import pickle
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from integration.event_tracking.support import EventTracking, SettableClock
from loyalnest.event_tracking.models import Outcome
from loyalnest.kit.database import Connection, Database, Pools

ROOT = Path(__file__).resolve().parents[3]


class Steps:
    """Counts to the step before which this process dies."""

    def __init__(self, fatal: int) -> None:
        self._left = fatal

    def next(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class _Counted:
    """A connection whose statements are steps."""

    def __init__(self, connection: Connection, steps: Steps) -> None:
        self._connection = connection
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._connection, name)
        if name not in {"execute", "fetch", "fetchrow", "fetchval"}:
            return method

        async def run(*arguments: Any) -> Any:
            self._steps.next()
            return await method(*arguments)

        return run


class _CountedDatabase(Database):
    def __init__(self, pool: Any, schema: str, steps: Steps) -> None:
        super().__init__(pool, schema)
        self._steps = steps

    @asynccontextmanager
    async def _transaction(self, role: str, merchant_id: str, *, snapshot: bool = False) -> AsyncIterator[Connection]:
        async with super()._transaction(role, merchant_id, snapshot=snapshot) as connection:
            yield _Counted(connection, self._steps)  # type: ignore[misc]
            self._steps.next()  # before the commit
        self._steps.next()  # after it


async def _work(config: Mapping[str, Any], fatal: int, now: datetime) -> None:
    steps, pools = Steps(fatal), Pools(2)
    database = _CountedDatabase(await pools.open(config["url"]), "event_tracking", steps)
    tracking = EventTracking(database, SettableClock(now), pickle.loads(base64.b64decode(config["store"])))  # noqa: S301
    handler = tracking.handlers(**config["settings"])[config["kind"]]

    async def perform(task_id: UUID, payload: bytes) -> Outcome:
        steps.next()
        outcome = await handler.perform(task_id, payload)
        steps.next()
        return outcome

    await tracking.worker_with(replace(handler, perform=perform), config["kind"]).run_due()


def main() -> None:
    config = json.loads(sys.stdin.readline())
    for line in sys.stdin:
        fatal, now = line.split()
        child = os.fork()
        if child == 0:
            asyncio.run(_work(config, int(fatal), datetime.fromisoformat(now)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)}\n")
        sys.stdout.flush()


class Victim:
    """The process, as a test has it. Use it as an asynchronous context manager."""

    def __init__(self, tracking: EventTracking, url: str, kind: str = "email", **settings: Any) -> None:
        self._tracking = tracking
        self._config = {"url": url, "kind": kind, "settings": settings}
        self._process: asyncio.subprocess.Process

    async def __aenter__(self) -> "Victim":
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "integration.event_tracking.victim",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'services'}:{ROOT / 'tests'}"},
        )
        await self._tracking.keys.for_merchant("acme")  # keys are made when they are first asked for
        store = base64.b64encode(pickle.dumps(self._tracking.store)).decode()
        await self._say(json.dumps({**self._config, "store": store}))
        return self

    async def __aexit__(self, *_exception: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def work(self, fatal: int, now: datetime) -> bool:
        """Let a child work that is killed before step `fatal`. Returns whether it outlived its work."""
        await self._say(f"{fatal} {now.isoformat()}")
        assert self._process.stdout is not None
        code = int(await self._process.stdout.readline())
        assert code in {0, -signal.SIGKILL}, code
        return code == 0

    async def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()


if __name__ == "__main__":
    main()
