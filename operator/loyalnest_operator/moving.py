"""Moves a program's data into the pool or out of it, and clears the place that it left.

Level-triggered: the data is where `status.tier` says until the move's Job has succeeded and the status says otherwise,
which is the one moment that counts. Before it, everything can be done again, and the old place is as it was but closed;
after it, the old place is kept for a while, what came there too late is sent after the program, and it is cleared.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from loyalnest.kit.errors import LoyalNestError
from loyalnest.kit.program import LoyaltyProgram, ProgramTier
from loyalnest_operator import names, places
from loyalnest_operator.backing import Backing
from loyalnest_operator.cache import Cache
from loyalnest_operator.desired import pool_jobs
from loyalnest_operator.desired.packing import Packing, pack
from loyalnest_operator.events import Recorder
from loyalnest_operator.facts import Facts, Manifest
from loyalnest_operator.jobs import Jobs, Task
from loyalnest_operator.objects import Ref, ref_of
from loyalnest_operator.obstacles import Waiting, reason_of
from loyalnest_operator.preparing import BEGINNINGS
from loyalnest_operator.settings import OperatorSettings
from loyalnest_operator.status import Condition, Report, Said

AT_ONCE_SECONDS = 0.1
AGAIN_SECONDS = 5.0
RETRY_SECONDS = 60.0


class Moving:
    """What a reconcile does while `spec.tier` wants another place, and while a place is left behind."""

    def __init__(
        self,
        settings: OperatorSettings,
        cache: Cache,
        backing: Backing,
        jobs: Jobs,
        recorder: Recorder,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._backing = backing
        self._jobs = jobs
        self._recorder = recorder
        self._clock = clock

    async def run(self, live: Manifest, program: LoyaltyProgram, facts: Facts, report: Report) -> None:
        """Bring the data to where `program` wants it. Never returns: raises Waiting, or Obstacle if a step failed.

        Its last Waiting comes with the new place in `report`.
        """
        name, before, wanted = program.metadata.name, places.home(live), program.spec.tier
        report.fields |= {"tier": before.value}
        left = places.left_behind(live)
        if left is not None:
            _, again = await self.clear(live, program, facts, report)
            words = f"The place that it left last is cleared first. {report.progressing.message}"
            raise Waiting("Moving", words, again or AT_ONCE_SECONDS)
        try:
            await self._jobs.stop(name, BEGINNINGS[:1], [], ended=True)  # else a way back would not open it again
            pool, own = _packings(program, facts, before)
            token = str(live["metadata"].get("generation", 0))  # a second move the same way is another Job
            if not places.pooled(wanted):
                await self._backing.ensure_database(name, facts.generated, facts.services)
                await self._backing.ensure_topics(program, facts.services)
                objects = pool_jobs.out_of_pool(pool, own, token)
            else:
                objects = pool_jobs.into_pool(pool, own, token)
            await self._jobs.stop(name, BEGINNINGS[1:], [ref_of(each) for each in objects])
            await self._jobs.run(name, objects, _move(before, wanted))
        except (Waiting, LoyalNestError) as told:
            reason = told.reason if isinstance(told, Waiting) else reason_of(told)
            report.phase(Condition.DATABASE, ready=False, reason=reason, message=told.detail)
            raise
        report.fields |= {"tier": wanted.value, "leftBehind": places.LeftBehind(before, self._clock()).as_status()}
        await self._recorder.tell(name, "Moved", f"The data has moved from {before.value} to {wanted.value}.")
        raise Waiting("Moving", f"The data has moved from {before.value}.", AT_ONCE_SECONDS)

    async def clear(
        self, live: Manifest, program: LoyaltyProgram, facts: Facts, report: Report
    ) -> tuple[Sequence[Ref], float | None]:
        """Clear the place that was left, once it was kept for long enough. The program serves meanwhile.

        Returns the objects that this needs, and when to look again; nothing when there is nothing to clear.
        """
        left = places.left_behind(live)
        if left is None:
            return [], None
        name, due = program.metadata.name, left.at + timedelta(seconds=self._settings.move_keep_seconds)
        seconds = (due - self._clock()).total_seconds()
        if seconds > 0:
            words = f"Moved from {left.tier.value}; what is left there is cleared at {due:%Y-%m-%d %H:%M} UTC."
            report.progressing = Said(status=False, reason="OldPlaceKept", message=words)
            return [], seconds + 1
        pool, own = _packings(program, facts, left.tier)
        build = pool_jobs.clear_pool if places.pooled(left.tier) else pool_jobs.clear_own
        objects = build(pool, own, left.at.isoformat())
        refs = [ref_of(each) for each in objects]
        try:
            await self._clear(name, left.tier, objects)
        except Waiting as waiting:
            report.progressing = Said(status=True, reason=waiting.reason, message=waiting.detail)
            return refs, waiting.again or AGAIN_SECONDS
        except LoyalNestError as error:  # the program serves; only the old place is not cleared
            report.degraded = Said(status=True, reason=reason_of(error), message=error.detail)
            return refs, RETRY_SECONDS
        report.fields |= {"leftBehind": None}
        await self._recorder.tell(name, "Cleared", f"What was left in the place of {left.tier.value} is cleared.")
        return [], None

    async def _clear(self, name: str, tier: ProgramTier, objects: Sequence[Manifest]) -> None:
        namespace = Ref("v1", "Namespace", "", names.namespace(name))
        if not places.pooled(tier) and namespace in self._cache.objects(name):
            raise Waiting("Clearing", f"The namespace {namespace.name} is going.", AGAIN_SECONDS)
        await self._jobs.run(name, objects, _CLEARING)
        if not places.pooled(tier):  # everything in it has moved
            await self._backing.drop_database(name)
            await self._backing.delete_topics(name)


_CLEARING = Task(
    "Clearing", "The place that it left is being cleared.", "ClearingFailed", "The old place is not cleared"
)


def _move(before: ProgramTier, wanted: ProgramTier) -> Task:
    return Task(
        "Moving",
        f"The data moves from {before.value} to {wanted.value}; deliveries are answered with 503 until it is there, "
        "and Shopify sends them again.",
        "MoveFailed",
        f"The data did not move from {before.value} to {wanted.value}, nothing of it is lost",
        f"Set spec.tier to {before.value} to go on there.",
    )


def _packings(program: LoyaltyProgram, facts: Facts, other: ProgramTier) -> tuple[Packing, Packing]:
    """The program in the pool, and in a place of its own: as it wants to be, or as it was."""
    own = other if places.pooled(program.spec.tier) else program.spec.tier
    pooled = places.in_tier(program, ProgramTier.POOLED)
    return pack(pooled, facts), pack(places.in_tier(program, own), facts)
