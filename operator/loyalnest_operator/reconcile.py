"""One program, from what is there to what should be there. Level-triggered: nothing is remembered of how it came.

A reconcile walks the phases until one has to wait, says in the status how far it came and what stands in the way,
and returns. News from the watches, the resync, or the queue's retry bring it back.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import structlog

from loyalnest.kit.errors import LoyalNestError
from loyalnest.kit.program import LoyaltyProgram
from loyalnest.kit.program.spec import ProgramTier
from loyalnest.kit.service import Service
from loyalnest_operator import metrics, names, places, pods, programs
from loyalnest_operator.applying import Applier
from loyalnest_operator.backing import Backing
from loyalnest_operator.cache import Cache, State
from loyalnest_operator.cluster import Cluster, FieldConflict, Stale
from loyalnest_operator.credentials import References
from loyalnest_operator.deletion import Deletion
from loyalnest_operator.desired import Desired, desired, problems
from loyalnest_operator.events import Recorder
from loyalnest_operator.facts import Capabilities, Facts, Manifest
from loyalnest_operator.fleet import Fleet
from loyalnest_operator.inputs import Inputs
from loyalnest_operator.jobs import Jobs
from loyalnest_operator.kinds import PROGRAM
from loyalnest_operator.moving import Moving
from loyalnest_operator.objects import Ref, ref_of
from loyalnest_operator.obstacles import Obstacle, Waiting, reason_of
from loyalnest_operator.preparing import Preparing
from loyalnest_operator.settings import OperatorSettings
from loyalnest_operator.status import Condition, Report, Said, changed, news, status_of

log = structlog.get_logger(__name__)


_SCALING = ("HorizontalPodAutoscaler", "ScaledObject", "PodDisruptionBudget")
"""Kinds that go before others come: two scalers, or a scaler and a fixed number of replicas, fight."""


class Reconciler:
    """Reconciles programs by name, see `Queue.work`."""

    def __init__(
        self,
        settings: OperatorSettings,
        services: Sequence[Service],
        cluster: Cluster,
        cache: Cache,
        backing: Backing,
        recorder: Recorder,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._services = services
        self._cluster = cluster
        self._cache = cache
        self._backing = backing
        self._recorder = recorder
        self._clock = clock
        self.capabilities = Capabilities()
        self.fleet = Fleet(settings, cache)
        self.references = References(cluster)
        self._applier = Applier(cluster, cache, recorder)
        self._inputs = Inputs(settings, services, cluster, self.references, backing.database_exists)
        self._deletion = Deletion(settings, services, cluster, cache, backing, self._applier, recorder)
        jobs = Jobs(cluster, cache, self._applier)
        self._preparing = Preparing(jobs)
        self._moving = Moving(settings, cache, backing, jobs, recorder, clock)

    async def reconcile(self, name: str) -> float | None:
        """Bring a program as far as it goes now. Returns when to look again; raises for what the queue retries."""
        entry = self._cache.programs.get(name)
        if entry is None:
            return None
        live, report = entry.live, Report()
        failure: LoyalNestError | None = None
        again: float | None = self._settings.resync_seconds
        try:
            if programs.paused(live):
                report.stopped("Paused", _paused(live))
            elif programs.deleting(live):
                with _timed("deletion"):
                    await self._deletion.run(live)
                return None
            else:
                again = await self._walk(live, report) or again
        except Waiting as waiting:
            report.working(waiting.reason, waiting.detail)
            again = waiting.again or again
        except Stale:
            raise
        except LoyalNestError as error:
            failure = error
        except Exception as error:  # a fault of ours: this program says so, and the others go on
            log.exception("reconcile.fault", program=name)
            failure = Obstacle("OperatorFault", f"The operator has a fault: {error!r}. Its log says where; report it.")
        if failure is None and report.conflicts:
            failure = Obstacle(report.conflict_reason, " ".join(report.conflicts))
        if failure is not None:
            reason = reason_of(failure)
            metrics.FAILURES.labels(reason).inc()
            report.broken(reason, failure.detail)
        await self._write_status(name, live, report)
        if failure is not None:
            raise failure
        return again

    async def _walk(self, live: Manifest, report: Report) -> float | None:
        """Returns when something is due before the usual look."""
        name = live["metadata"]["name"]
        program = programs.program_of(live)
        self._refuse_shared_shop(name, program)
        await self._deletion.guard(live)
        with _timed("inputs"):
            facts = await self._inputs.facts(program, live, self.fleet.image_for(name), self.capabilities)
        found = problems(program, facts)
        if found:
            raise Obstacle("InvalidSpec", " ".join(found))
        if places.moves(live, program):
            with _timed("move"):
                await self._moving.run(live, program, facts, report)
        wanted = desired(program, facts)
        if program.spec.suspend:  # at once, even while the database is away
            await self._stop(name, wanted)
        await self._outside(program, facts, report)
        with _timed("foundation"), _going_on(report):
            await self._foundation(name, wanted)
        report.fields |= {"image": facts.image}
        with _timed("preparation"):
            await self._preparing.run(name, wanted.preparation, report)
        report.fields |= {"tier": program.spec.tier.value}
        with _timed("workloads"), _going_on(report):
            await self._applier.withdraw(name, _SCALING, wanted)
            await self._applier.apply(name, wanted.workloads)
        await self._check_workloads(name, program, wanted, report)
        with _timed("dashboard"), _going_on(report):  # goes to the new gateway only when that answers
            await self._applier.apply(name, wanted.dashboard)
        self._dashboard(wanted, report)
        self._conclude(program, report)
        with _timed("clear"):
            needed, again = await self._moving.clear(live, program, facts, report)
        with _timed("prune"):
            kept = Ref("v1", "Secret", self._settings.namespace, names.secrets(name))
            await self._applier.prune(name, [*map(ref_of, wanted), *needed, kept])
        report.fields |= {"version": facts.image.rpartition(":")[2] or facts.image}
        return again

    async def _stop(self, name: str, wanted: Desired) -> None:
        """Take what runs to zero."""
        there = self._cache.objects(name)
        await self._applier.withdraw(name, _SCALING, wanted)
        await self._applier.apply(name, [each for each in wanted.workloads if ref_of(each) in there])

    def _refuse_shared_shop(self, name: str, program: LoyaltyProgram) -> None:
        owner = self._cache.owner_of(program.spec.shop.domain)
        if owner not in ("", name):
            raise Obstacle(
                "ShopTaken",
                f"The shop {program.spec.shop.domain} belongs to the program {owner}, which is older. Delete one.",
            )

    async def _outside(self, program: LoyaltyProgram, facts: Facts, report: Report) -> None:
        """The database and the topics of a program of its own. The pool has both already."""
        name = program.metadata.name
        if program.spec.tier is ProgramTier.POOLED:
            report.phase(Condition.DATABASE, ready=True, reason="Pooled", message="In the pool's database.")
            report.phase(Condition.TOPICS, ready=True, reason="Pooled", message="In the pool's topics.")
            report.fields |= {"database": None}
            return
        with _timed("database"), _phase(report, Condition.DATABASE):
            await self._backing.ensure_database(name, facts.generated, facts.services)
        report.fields |= {"database": names.database(name)}
        with _timed("topics"), _phase(report, Condition.TOPICS):
            await self._backing.ensure_topics(program, facts.services)
        words = f"The topics {names.topic_prefix(name)}… are there."
        report.phase(Condition.TOPICS, ready=True, reason="Made", message=words)

    async def _foundation(self, name: str, wanted: Desired) -> None:
        first, *others = wanted.foundation
        if first["kind"] == "Namespace":
            await self._applier.claim(name, first)
        else:
            others = [first, *others]
        await self._applier.apply(name, others)

    async def _check_workloads(self, name: str, program: LoyaltyProgram, wanted: Desired, report: Report) -> None:
        deployments = [ref_of(each) for each in wanted.workloads if each["kind"] == "Deployment"]
        states = {each: self._state(name, each) for each in deployments}
        failed = [each for each, state in states.items() if state.failed]
        if failed:
            words = [f"{each.name}: {await self._why(each) or states[each].failed}" for each in failed]
            report.phase(Condition.SERVICES, ready=False, reason="ServicesFailed", message="; ".join(words))
            raise Obstacle("ServicesFailed", "; ".join(words))
        unready = [each.name for each, state in states.items() if not state.ready]
        if unready:
            first = next(each for each, state in states.items() if not state.ready)
            message = f"{len(unready)} of {len(states)} are not ready: {', '.join(unready)}. {await self._why(first)}"
            report.phase(Condition.SERVICES, ready=False, reason="Starting", message=message.rstrip())
            raise Waiting("Starting", message.rstrip(), pods.LOOK_SECONDS)
        if program.spec.tier is ProgramTier.POOLED:
            report.phase(Condition.SERVICES, ready=True, reason="Pooled", message="Served by the pool.")
        else:
            report.phase(Condition.SERVICES, ready=True, reason="Running", message=f"All are ready: {len(states)}.")

    async def _why(self, deployment: Ref) -> str:
        component = f"{names.COMPONENT}={deployment.name}"
        return await pods.last_words(self._cluster, deployment.namespace, component)

    def _dashboard(self, wanted: Desired, report: Report) -> None:
        report.fields |= {"dashboardURL": wanted.public_url}
        if wanted.dashboard:
            report.phase(Condition.DASHBOARD, ready=True, reason="Routed", message=wanted.public_url)
        else:
            message = "No host: set spec.dashboard.host, or the platform's domain."
            report.phase(Condition.DASHBOARD, ready=True, reason="NoHost", message=message)

    def _conclude(self, program: LoyaltyProgram, report: Report) -> None:
        if program.spec.suspend:
            report.stopped("Suspended", "spec.suspend is true: the services are stopped, the data stays.")
            return
        report.done("Everything is as the program says.")
        held = self.fleet.held(program.metadata.name)
        if held:
            report.progressing = _unready("UpgradeHeld", held)

    def _state(self, name: str, ref: Ref) -> State:
        seen = self._cache.seen(name, ref)
        return seen.state if seen is not None else State(ready=False)

    async def _write_status(self, name: str, live: Manifest, report: Report) -> None:
        before = live.get("status") or {}
        after = status_of(report, live["metadata"].get("generation", 0), before, self._clock())
        if self._cache.programs.get(name) is not None and changed(before, after):
            with _timed("status"):
                written = await self._cluster.patch(PROGRAM, name, {"status": after}, subresource="status")
            if written is not None:
                self._cache.see_program(written, deleted=False, answer=True)
            await self._tell(name, before, after)

    async def _tell(self, name: str, before: Manifest, after: Manifest) -> None:
        found = news(before, after)
        if found is not None:
            reason, words, warning = found
            await (self._recorder.warn if warning else self._recorder.tell)(name, reason, words)


def _paused(live: Manifest) -> str:
    what = "everything is left alone, and the program is not deleted" if programs.deleting(live) else ""
    return f"The annotation {names.PAUSED} is true: {what or 'everything is left alone'}."


def _unready(reason: str, message: str) -> Said:
    return Said(status=False, reason=reason, message=message)


@contextmanager
def _phase(report: Report, condition: Condition) -> Iterator[None]:
    """Say in `condition` what its phase stumbles over."""
    try:
        yield
    except LoyalNestError as error:
        report.phases[condition] = _unready(reason_of(error), error.detail)
        raise


@contextmanager
def _going_on(report: Report) -> Iterator[None]:
    """A field that somebody else keeps is reported in the end, and does not keep the rest from what it should be."""
    try:
        yield
    except FieldConflict as conflict:
        report.conflicts.append(conflict.detail)
        report.conflict_reason = reason_of(conflict)


@contextmanager
def _timed(phase: str) -> Iterator[None]:
    with metrics.RECONCILE_SECONDS.labels(phase).time():
        yield
