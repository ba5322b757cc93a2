"""Logs: one line of JSON an event, with its trace, without secrets."""

import json
import logging
import warnings

import pytest
import structlog
from opentelemetry import context as otel_context
from opentelemetry import propagate
from pydantic import SecretStr

from loyalnest.kit import logs
from loyalnest.kit.placement import Placement
from loyalnest.kit.settings import Settings

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECRET = "open-sesame"


pytestmark = pytest.mark.usefixtures("logs_as_before")


def configure(**settings: str) -> None:
    logs.configure(Settings(**settings))  # type: ignore[arg-type]


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def fail_with_a_secret_at_hand() -> None:
    password = SECRET
    raise LookupError(f"{len(password)} letters")


def test_an_event_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    structlog.get_logger("x").info("it.happened", count=2, text="a\nb")
    (line,) = lines(capsys)
    assert line.pop("timestamp")
    assert line == {"event": "it.happened", "level": "info", "count": 2, "text": "a\nb"}


def test_the_trace_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    token = otel_context.attach(propagate.extract({"traceparent": PARENT}))
    try:
        structlog.get_logger().info("inside")
        logging.getLogger("library").warning("of a library")
    finally:
        otel_context.detach(token)
    structlog.get_logger().info("outside")
    inside, library, outside = lines(capsys)
    assert inside["trace_id"] == library["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert "trace_id" not in outside


def test_libraries_speak_the_same_way_from_warnings_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure(log_level="DEBUG")
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("look at %s", "this")
    try:
        fail_with_a_secret_at_hand()
    except LookupError:
        logging.getLogger("library").exception("failed")
    warned, failed = lines(capsys)
    assert (warned["event"], warned["level"], warned["logger"]) == ("look at this", "warning", "library")
    assert "LookupError: 11 letters" in str(failed["exception"])


@pytest.mark.parametrize(("level", "expected"), [("DEBUG", 3), ("INFO", 2), ("WARNING", 1), ("ERROR", 0)])
def test_the_level(capsys: pytest.CaptureFixture[str], level: str, expected: int) -> None:
    configure(log_level=level)
    logger = structlog.get_logger()
    logger.debug("a")
    logger.info("b")
    logger.warning("c")
    assert len(lines(capsys)) == expected


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_stay_out(capsys: pytest.CaptureFixture[str], form: str) -> None:
    configure(log_format=form)
    url = f"postgresql://me:{SECRET}@db/x"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log = structlog.get_logger()
        log.info("settings", value=SecretStr(SECRET), settings=Settings(database_url=SecretStr(url)))
        log.info("placement", placement=Placement(database_url=url))
        try:
            fail_with_a_secret_at_hand()
        except LookupError as error:
            log.exception("raised")
            log.error("told", exc_info=error)  # noqa: TRY400 - the other way to say it
            logging.getLogger("library").exception("by a library")
    shown = capsys.readouterr().err
    assert shown.count("LookupError: 11 letters") == 3
    assert "placement" in shown
    assert SECRET not in shown
