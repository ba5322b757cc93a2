"""Conditions."""

from datetime import UTC, datetime, timedelta

from loyalnest_operator.status import MOST_MESSAGE, PHASES, Condition, Report, changed, news, status_of

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def conditions(status: dict[str, object]) -> dict[str, dict[str, object]]:
    listed = status["conditions"]
    assert isinstance(listed, list)
    return {each["type"]: each for each in listed}


def test_every_condition_is_always_there() -> None:
    found = conditions(status_of(Report(), 3, {}, NOW))
    assert list(found) == ["Ready", "Progressing", "Degraded", *PHASES]
    assert {each["observedGeneration"] for each in found.values()} == {3}
    assert found["DatabaseReady"]["status"] == "Unknown"


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    report = Report()
    report.working("Starting", "1 of 2 are not ready.")
    before = status_of(report, 1, {}, NOW)
    report.working("Starting", "2 of 2 are not ready.")
    after = conditions(status_of(report, 1, before, NOW + timedelta(minutes=1)))
    assert after["Ready"]["lastTransitionTime"] == "2026-11-24T12:00:00Z"
    assert after["Ready"]["message"] == "2 of 2 are not ready."
    report.done("Fine.")
    done = conditions(status_of(report, 1, before, NOW + timedelta(minutes=1)))
    assert done["Ready"]["lastTransitionTime"] == "2026-11-24T12:01:00Z"
    assert done["Degraded"]["lastTransitionTime"] == "2026-11-24T12:00:00Z"


def test_an_error_is_in_words_and_goes_when_its_cause_goes() -> None:
    report = Report()
    report.broken("CredentialsMissing", "x" * 5000)
    broken = status_of(report, 1, {}, NOW)
    assert len(broken["lastError"]) == MOST_MESSAGE
    assert conditions(broken)["Degraded"]["status"] == "True"
    mended = Report()
    mended.done("Fine.")
    after = status_of(mended, 1, broken, NOW)
    assert after["lastError"] is None
    assert changed(broken, after)
    assert conditions(after)["Degraded"]["status"] == "False"


def test_the_same_again_is_no_change() -> None:
    report = Report()
    report.phase(Condition.TOPICS, ready=True, reason="Made")
    report.done("Fine.")
    report.fields["version"] = "1"
    before = status_of(report, 1, {}, NOW)
    kept = {key: value for key, value in before.items() if value is not None}
    assert not changed(kept, status_of(report, 1, kept, NOW + timedelta(hours=1)))
    assert changed(kept, status_of(report, 2, kept, NOW))


def test_what_is_new_is_told_once() -> None:
    broken, other, ready = Report(), Report(), Report()
    broken.broken("CredentialsMissing", "There is no Secret.")
    other.broken("ShopTaken", "It belongs to another.")
    ready.done("Fine.")
    statuses = [status_of(each, 1, {}, NOW) for each in (broken, other, ready)]
    assert news({}, statuses[0]) == ("CredentialsMissing", "There is no Secret.", True)
    assert news(statuses[0], statuses[0]) is None
    assert news(statuses[0], statuses[1]) == ("ShopTaken", "It belongs to another.", True)
    assert news(statuses[1], statuses[2]) == ("Ready", "Fine.", False)
    assert news(statuses[2], statuses[2]) is None
    assert news({}, status_of(Report(), 1, {}, NOW)) is None
