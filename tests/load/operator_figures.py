"""What the operator and the API server have spent so far, from /metrics and from the kernel."""

import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

QUEUE = "loyalnest_operator_queue_seconds"


@dataclass(frozen=True, slots=True)
class Figures:
    """All since the processes began; of the difference of two, times and counts are what was between.

    calls: to the API server by verb, but for the Lease and its watches. waits: reconciles by the upper bound of how
    long they were due, in seconds. mib, peak_mib: the operator's memory now and at most.
    """

    at: float
    calls: Counter[str]
    waits: Counter[float]
    reconciles: float
    operator_seconds: float
    server_seconds: float
    mib: float
    peak_mib: float

    @property
    def writes(self) -> float:
        """Calls that could have changed something."""
        return sum(count for verb, count in self.calls.items() if verb != "GET")

    def __sub__(self, before: "Figures") -> "Figures":
        return Figures(
            self.at - before.at,
            self.calls - before.calls,
            self.waits - before.waits,
            self.reconciles - before.reconciles,
            self.operator_seconds - before.operator_seconds,
            self.server_seconds - before.server_seconds,
            self.mib,
            self.peak_mib,
        )


def figures_of(metrics: str, operator: int, server: int) -> Figures:
    """The figures of now. `metrics`: what the operator says; `operator`, `server`: processes."""
    samples = [sample for family in text_string_to_metric_families(metrics) for sample in family.samples]
    calls: Counter[str] = Counter()
    for sample in _named(samples, "loyalnest_operator_api_calls_total"):
        if sample.labels["kind"] != "Lease":
            calls[sample.labels["verb"]] += int(sample.value)
    buckets = [(float(each.labels["le"]), int(each.value)) for each in _named(samples, QUEUE + "_bucket")]
    waits: Counter[float] = Counter()
    for (_, less), (bound, count) in zip([(0.0, 0), *buckets], buckets, strict=False):
        waits[bound] = count - less
    memory = dict(line.split(":", 1) for line in Path(f"/proc/{operator}/status").read_text().splitlines())
    return Figures(
        at=time.monotonic(),
        calls=calls,
        waits=waits,
        reconciles=sum(each.value for each in _named(samples, QUEUE + "_count")),
        operator_seconds=_seconds(operator),
        server_seconds=_seconds(server),
        mib=_mib(memory["VmRSS"]),
        peak_mib=_mib(memory["VmHWM"]),
    )


def queue_quantile(figures: Figures, share: float) -> str:
    """Words for how long at most that share of the reconciles was due: the histogram's next bound."""
    wanted, found = share * figures.waits.total(), 0
    for bound, count in sorted(figures.waits.items()):
        found += count
        if found >= wanted:
            return f"≤ {bound:g} s" if bound < math.inf else "> 300 s"
    return "none"


def _named(samples: Iterable[Sample], name: str) -> list[Sample]:
    return [each for each in samples if each.name == name]


def _seconds(process: int) -> float:
    spent = psutil.Process(process).cpu_times()
    return spent.user + spent.system


def _mib(amount: str) -> float:
    """`  123 kB` as the kernel says it."""
    return int(amount.split(maxsplit=1)[0]) / 1024
