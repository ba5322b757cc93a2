"""What a program asks for that cannot be had, in words for the admin who wrote it."""

from collections.abc import Iterable, Iterator

from loyalnest.kit.program import LoyaltyProgram, ProgramTier, ServiceOptions
from loyalnest.kit.program.problems import suggestion
from loyalnest.kit.service import Service
from loyalnest_operator.desired.resources import AMOUNTS, number
from loyalnest_operator.facts import Facts


def problems(program: LoyaltyProgram, facts: Facts) -> list[str]:
    """Everything that is wrong with `program` on this platform, each with its field; nothing if it can be had.

    What the resource's own schema refuses is not looked for again.
    """
    known = {each.name: each for each in facts.services}
    found: list[str] = []
    for name, options in program.spec.services.items():
        path = f"spec.services.{name}"
        if name not in known:
            near = suggestion(name, list(known)) or "."
            found.append(f"{path}: there is no such service{near} There are: {_all(known)}.")
            continue
        if not options.enabled:
            found += [f"{path}.enabled: {words}" for words in _why_needed(known[name], program, facts)]
        found += [f"{path}.resources.{words}" for words in _too_much(options)]
    return found


def _why_needed(service: Service, program: LoyaltyProgram, facts: Facts) -> Iterator[str]:
    """Why a service cannot be disabled."""
    if program.spec.tier is ProgramTier.POOLED:
        yield (
            "the services of a Pooled program are shared, so none can be disabled for it alone; remove this, or choose"
            " the tier Compact or Distributed"
        )
        return
    if service.edge:
        yield f"{service.name} takes the orders in and serves the dashboard, so it cannot be disabled; remove this"
    if service.key_source is not None:
        yield f"{service.name} keeps the keys that every service needs, so it cannot be disabled; remove this"
    options = program.spec.services
    needing = [
        each.name
        for each in facts.services
        if service.name in each.needs and options.get(each.name, ServiceOptions()).enabled
    ]
    if needing:
        yield f"{_all(needing)} cannot run without {service.name}; disable {_all(needing)} too, or remove this"


def _too_much(options: ServiceOptions) -> Iterator[str]:
    """What a pod is asked to be given beyond its own limit."""
    for amount in AMOUNTS:
        request, limit = getattr(options.resources.requests, amount), getattr(options.resources.limits, amount)
        if request is not None and limit is not None and number(request) > number(limit):
            yield f"requests.{amount}: {request} is more than limits.{amount}, which is {limit}; raise the limit"


def _all(names: Iterable[str]) -> str:
    return ", ".join(names)
