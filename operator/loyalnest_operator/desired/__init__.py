"""What should be there for a program: a pure function of the program and the facts, with no look at any cluster."""

from collections.abc import Iterator
from dataclasses import dataclass

from loyalnest.kit.program import LoyaltyProgram
from loyalnest_operator.desired.foundation import foundation
from loyalnest_operator.desired.ingress import dashboard
from loyalnest_operator.desired.packing import pack
from loyalnest_operator.desired.preparation import preparation
from loyalnest_operator.desired.problems import problems
from loyalnest_operator.desired.workloads import workloads
from loyalnest_operator.facts import Facts, Manifest

__all__ = ["Desired", "desired", "problems"]


@dataclass(frozen=True, slots=True)
class Desired:
    """Every object of a program, by the phases in which they are made, each in the order in which it is applied.

    public_url: where the dashboard is reached: from outside, or inside the cluster if it has no host.
    """

    foundation: tuple[Manifest, ...]
    preparation: tuple[Manifest, ...]
    workloads: tuple[Manifest, ...]
    dashboard: tuple[Manifest, ...]
    public_url: str

    def __iter__(self) -> Iterator[Manifest]:
        """All objects in the order of the phases."""
        for phase in (self.foundation, self.preparation, self.workloads, self.dashboard):
            yield from phase


def desired(program: LoyaltyProgram, facts: Facts) -> Desired:
    """What should be there for `program`. It is meant for a program without `problems`."""
    packing = pack(program, facts)
    return Desired(
        foundation(packing), preparation(packing), workloads(packing), dashboard(packing), packing.public_url
    )
