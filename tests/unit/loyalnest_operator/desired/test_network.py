"""The gRPC paths that policies open are those that services need, and none other."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalnest.kit.service import Service
from loyalnest_operator import names
from loyalnest_operator.desired import desired
from loyalnest_operator.facts import Manifest
from unit.loyalnest_operator.desired.support import (
    FIVE,
    a_program,
    found,
    made_up,
    one,
    real_services,
    some_facts,
    thirteen,
)

Pods = dict[str, str]


@st.composite
def any_services(draw: st.DrawFn) -> list[Service]:
    """Five to thirteen services that need each other in any way without a circle."""
    count = draw(st.integers(5, 13))
    services: list[Service] = []
    for number in range(count):
        needs = draw(st.sets(st.sampled_from([each.name for each in services]), max_size=3)) if services else set()
        services.append(
            made_up(
                f"service_{number}",
                needs=tuple(sorted(needs)),
                rpc=number == 0 or draw(st.booleans()),
                routes=draw(st.booleans()),
                edge=number == count - 1,
                key_source=number == 0,
                calls_out=draw(st.booleans()),
            )
        )
    return services


@given(any_services(), st.booleans())
def test_every_path_that_is_needed_is_open_and_none_other(services: list[Service], disable: bool) -> None:
    check(services, {services[-2].name} if disable and services[-2].name not in services[-1].needs else set())


@pytest.mark.parametrize("services", [FIVE, thirteen(), real_services()], ids=["five", "thirteen", "real"])
def test_paths_of(services: Sequence[Service]) -> None:
    check(services, set())


def check(services: Sequence[Service], disabled: set[str]) -> None:
    options = {name: {"enabled": False} for name in disabled}
    objects = list(desired(a_program(tier="Distributed", services=options), some_facts(services)))
    running = [each for each in services if each.name not in disabled]
    for caller in running:
        for called in running:
            if caller is not called:
                ends = out_of(objects, caller.name, called.name, 9090), into(objects, caller.name, called.name, 9090)
                wanted = needs_path(caller, called)
                assert ends == (wanted, wanted), f"from {caller.name} to {called.name}"
            assert not out_of(objects, caller.name, called.name, 8080), "HTTP is not for services"
        assert not out_of(objects, "prepare", caller.name, 9090), "preparation calls nobody"
        assert not into(objects, "prepare", caller.name, 9090)


def needs_path(caller: Service, called: Service) -> bool:
    """Said once more, from the declaration's own words."""
    if called.rpc is None:
        return False
    by_edge = caller.edge and bool(called.routes or called.public_routes)
    return called.name in caller.needs or called.key_source is not None or by_edge


def test_in_one_process_there_are_no_calls_over_the_network() -> None:
    objects = list(desired(a_program(), some_facts()))
    assert all("9090" not in str(each["spec"]) for each in found(objects, "NetworkPolicy"))
    assert "LOYALNEST_PEERS" not in one(objects, "ConfigMap")["data"]


@pytest.mark.parametrize("tier", ["Compact", "Distributed"])
def test_everything_is_denied_that_no_policy_opens(tier: str) -> None:
    deny = one(desired(a_program(tier=tier), some_facts()), "NetworkPolicy", "default-deny")
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("tier", ["Compact", "Distributed"])
def test_who_may_ask_the_edge_and_read_metrics(tier: str) -> None:
    peers: dict[str, Any] = {
        "edge_peers": [{"ipBlock": {"cidr": "10.1.0.0/16"}}],
        "monitoring_peers": [{"ipBlock": {"cidr": "10.2.0.0/16"}}],
    }
    own = [policy for policy in policies(a_program(tier=tier), **peers) if names.COMPONENT in labels(policy)]
    for policy in own:
        sources = [rule["from"] for rule in policy["spec"]["ingress"] if rule["ports"] == [HTTP]]
        edge = labels(policy)[names.COMPONENT] in {"front_door", "loyalnest"}
        assert sources == ([peers["edge_peers"]] if edge else []) + [peers["monitoring_peers"]]


def test_without_peers_everybody_may_ask_the_edge_and_nobody_reads_metrics() -> None:
    for policy in policies(a_program(tier="Distributed")):
        http = [rule for rule in policy["spec"].get("ingress", []) if HTTP in rule["ports"]]
        assert http == ([{"ports": [HTTP]}] if policy["metadata"]["name"] == "front-door" else [])


def test_only_who_calls_out_gets_out_and_only_to_public_addresses() -> None:
    out = {
        policy["metadata"]["name"]: rule
        for policy in policies(a_program(tier="Distributed"))
        for rule in policy["spec"].get("egress", [])
        if any(port["port"] == 443 for port in rule["ports"])
    }
    assert out.keys() == {"identity", "ledger"}
    for rule in out.values():
        blocks = [peer["ipBlock"] for peer in rule["to"]]
        assert all(block["except"] for block in blocks)
        assert "169.254.0.0/16" in blocks[0]["except"], "where clouds answer with credentials"


HTTP = {"port": 8080, "protocol": "TCP"}


def policies(program: Any, **settings: Any) -> list[Manifest]:
    return found(desired(program, some_facts(**settings)), "NetworkPolicy")


def labels(policy: Manifest) -> Pods:
    selected: Pods = policy["spec"]["podSelector"].get("matchLabels", {})
    return selected


def out_of(objects: Sequence[Manifest], source: str, target: str, port: int) -> bool:
    """Whether pods of component `source` may call those of `target` at `port`, as Kubernetes reads the policies."""
    return allowed(objects, pods(source), "Egress", "egress", "to", pods(target), port)


def into(objects: Sequence[Manifest], source: str, target: str, port: int) -> bool:
    """Whether pods of component `target` may be called by those of `source` at `port`; both ends must allow it."""
    return allowed(objects, pods(target), "Ingress", "ingress", "from", pods(source), port)


def pods(component: str) -> Pods:
    """The labels of a component's pods."""
    return names.labels("acme", component)


def allowed(
    objects: Sequence[Manifest], of: Pods, kind: str, field: str, direction: str, other: Pods, port: int
) -> bool:
    applying = [
        policy["spec"]
        for policy in found(objects, "NetworkPolicy")
        if labels(policy).items() <= of.items() and kind in policy["spec"]["policyTypes"]
    ]
    assert applying, "without a policy everything is allowed"
    return any(
        any(entry["port"] == port for entry in rule["ports"])
        and (direction not in rule or any(matches(peer, other) for peer in rule[direction]))
        for spec in applying
        for rule in spec.get(field, [])
    )


def matches(peer: dict[str, Any], other: Pods) -> bool:
    """Whether a peer means these pods of the same namespace."""
    return "podSelector" in peer and peer["podSelector"]["matchLabels"].items() <= other.items()
