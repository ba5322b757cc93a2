"""Who owns the rules, and when the resource makes a new version."""

from datetime import UTC, datetime

from loyalnest.core.program_settings import RESOURCE, differences, from_resource
from loyalnest.core.settings_repository import Version
from loyalnest.kit.program import ProgramRules, RulesManagedBy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DASHBOARD, OWNED = RulesManagedBy.DASHBOARD, RulesManagedBy.RESOURCE


def rules(rate: int) -> ProgramRules:
    text = f'{{"earning":{{"rules":[{{"name":"purchase","trigger":"order","pointsPerUnit":{rate}}}]}}}}'
    return ProgramRules.from_json(text)


def version(number: int, rate: int, managed_by: RulesManagedBy, changed_by: str = "admin-1") -> Version:
    found = rules(rate)
    return Version(number, found.to_json(), found.rules_hash, managed_by, changed_by, NOW, "")


def test_the_resource_seeds_version_1_whoever_owns_the_rules() -> None:
    for managed_by in (DASHBOARD, OWNED):
        seeded = from_resource(None, rules(1), managed_by, NOW)
        assert seeded is not None
        assert (seeded.version, seeded.rules, seeded.managed_by, seeded.changed_by) == (
            1,
            rules(1).to_json(),
            managed_by,
            RESOURCE,
        )


def test_the_dashboard_keeps_its_rules() -> None:
    assert from_resource(version(3, 5, DASHBOARD), rules(1), DASHBOARD, NOW) is None


def test_while_the_resource_owns_the_rules_each_change_is_a_version() -> None:
    assert from_resource(version(3, 1, OWNED), rules(1), OWNED, NOW) is None
    changed = from_resource(version(3, 1, OWNED), rules(2), OWNED, NOW)
    assert changed is not None
    assert (changed.version, changed.rules) == (4, rules(2).to_json())


def test_a_new_owner_is_a_version_of_its_own() -> None:
    taken = from_resource(version(3, 1, DASHBOARD), rules(1), OWNED, NOW)
    assert taken is not None
    assert (taken.version, taken.managed_by) == (4, OWNED)
    given = from_resource(version(4, 1, OWNED), rules(9), DASHBOARD, NOW)
    assert given is not None
    assert (given.version, given.managed_by, given.rules) == (5, DASHBOARD, rules(1).to_json())
    assert from_resource(given, rules(9), DASHBOARD, NOW) is None


def test_differences_name_the_parts_that_changed() -> None:
    before, after = differences(rules(1).to_json(), rules(2).to_json())
    assert before.keys() == after.keys() == {"earning"}
    assert '"1"' in before["earning"]
    assert '"2"' in after["earning"]
