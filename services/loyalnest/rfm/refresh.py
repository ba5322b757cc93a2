"""The refresh of a merchant's scores: the rule of `scoring` applied to its whole population."""

import time
from datetime import datetime

import structlog

from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Connection, Database, after_commit
from loyalnest.kit.outbox import Outbox
from loyalnest.rfm import refresh_repository
from loyalnest.rfm.metrics import REFRESH_SECONDS
from loyalnest.rfm.models import Refreshed
from loyalnest.rfm.schedule import next_run

log = structlog.get_logger(__name__)


class Refresher:
    """Refreshes one merchant at a time, each in one transaction: killed at any point, nothing of it is there."""

    def __init__(self, database: Database, outbox: Outbox, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock

    async def refresh(self, merchant_id: str) -> Refreshed:
        """Score every customer of the merchant anew. Refreshing again at once changes nothing."""
        started = time.perf_counter()
        async with self._database.request(merchant_id) as connection:
            await refresh_repository.lock(connection, merchant_id)
            now = self._clock()
            population = await refresh_repository.population(connection, merchant_id)
            await refresh_repository.set_cut_points(connection, merchant_id, population, now)
            changed = await refresh_repository.rescore_all(connection, merchant_id, population, now)
            await refresh_repository.count_segments(connection, merchant_id, population, now)
            await self._pass_due_run(connection, merchant_id, now)
            after_commit(self._outbox.written.set)
        seconds = time.perf_counter() - started
        REFRESH_SECONDS.observe(seconds)
        log.info(
            "rfm.refreshed",
            merchant_id=merchant_id,
            customers=population.customers,
            changed=changed,
            seconds=round(seconds, 3),
        )
        return Refreshed(population.customers, changed, seconds, now)

    @staticmethod
    async def _pass_due_run(connection: Connection, merchant_id: str, now: datetime) -> None:
        """A refresh, whoever asked for it, stands for every run that was due by then, however many were missed."""
        schedule = await refresh_repository.schedule_of(connection, merchant_id)
        if schedule is not None and schedule[2] <= now:
            cron, timezone, _ = schedule
            await refresh_repository.set_next_run(connection, merchant_id, next_run(cron, timezone, now))
