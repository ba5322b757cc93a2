"""What is made for a few programs, in full: a change of it is seen in review.

After a change that is meant, `UPDATE_GOLDEN=1 pytest tests/unit/loyalnest_operator/desired/test_golden.py` writes the
files anew.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from loyalnest.kit.program import LoyaltyProgram
from loyalnest_operator.desired import desired
from loyalnest_operator.facts import Capabilities, Facts
from unit.loyalnest_operator.desired.support import a_program, some_facts

FOLDER = Path(__file__).with_name("golden")

OPTIONS = {
    "ledger": {
        "replicas": {"min": 2, "max": 10},
        "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"cpu": 2}},
    },
    "front_door": {"replicas": {"min": 2, "max": 6}},
    "identity": {"replicas": {"min": 1, "max": 1}},
}
PLATFORM: dict[str, Any] = {
    "ingress_class": "nginx",
    "ingress_annotations": {"cert-manager.io/cluster-issuer": "letsencrypt"},
    "ingress_tls": True,
    "edge_peers": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}],
    "monitoring_peers": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
    "more_egress": [{"to": [{"ipBlock": {"cidr": "10.9.0.0/16"}}], "ports": [{"port": 4318, "protocol": "TCP"}]}],
    "environment": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.tracing.svc:4318", "LOYALNEST_BUS": "postgres"},
    "image_pull_secrets": ["registry"],
}

CASES: dict[str, tuple[LoyaltyProgram, Facts]] = {
    "distributed": (
        a_program(tier="Distributed", services=OPTIONS, dashboard={"host": "loyalty.acme.example"}),
        some_facts(pull_secrets={"registry": '{"auths":{}}'}, **PLATFORM),
    ),
    "compact": (a_program(retention={"topicHours": 24, "inboxDays": 7}), some_facts()),
    "pooled": (a_program(tier="Pooled"), some_facts(**PLATFORM)),
    "suspended": (a_program(tier="Distributed", suspend=True, services=OPTIONS), some_facts(domain="")),
    "keda_and_prometheus": (
        a_program(tier="Distributed", services=OPTIONS),
        some_facts(capabilities=Capabilities(keda=True, prometheus=True)),
    ),
    "service_disabled": (
        a_program(tier="Distributed", services={"mail_events": {"enabled": False}}),
        some_facts(),
    ),
    "service_disabled_compact": (a_program(services={"mail_events": {"enabled": False}}), some_facts()),
}


class _Plain(yaml.SafeDumper):
    """Writes everything out, however often it is referred to."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


@pytest.mark.parametrize("name", CASES)
def test_what_is_made(name: str) -> None:
    text = yaml.dump_all(desired(*CASES[name]), Dumper=_Plain, sort_keys=False, width=120)
    file = FOLDER / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        file.write_text(text, "utf-8")
    assert file.exists(), "write it with UPDATE_GOLDEN=1"
    assert text == file.read_text("utf-8")


def test_no_file_is_left_over() -> None:
    assert {file.stem for file in FOLDER.glob("*")} == set(CASES)
