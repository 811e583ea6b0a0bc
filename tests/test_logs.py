from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog
from pydantic import SecretStr

from parlex import logs
from parlex.settings import Settings


@pytest.fixture
def configure() -> Iterator[Callable[..., None]]:
    """``configure(log_format=…)``; logging is put back as it was."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield lambda **changes: logs.configure(Settings(**changes))
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, str]]]:
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("redis://:s3cret@host:1/0", "redis://:***@host:1/0"),
        ("postgresql+psycopg2://me:s3cr@t@host/db lost", "postgresql+psycopg2://me:***@host/db lost"),
        ("postgresql://me:s3/c#r?et@host/db", "postgresql://me:***@host/db"),
        ("redis://s3cret@host/0", "redis://***@host/0"),
        (
            'could not translate host name "s3cr@t@host" to address',
            'could not translate host name "***@host" to address',
        ),
        ("s3://bucket/x?region=ca&secret_access_key=s3cret", "s3://bucket/x?region=ca&secret_access_key=***"),
        ("https://www.parl.ca/legisinfo/en/bill/45-1/c-2", "https://www.parl.ca/legisinfo/en/bill/45-1/c-2"),
        (SecretStr("s3cret"), "***"),
        ({"password": "s3cret", "key": "45-1 C-2"}, {"password": "***", "key": "45-1 C-2"}),
        (["redis://:s3cret@host", 3, None], ["redis://:***@host", 3, None]),
        (ValueError("redis://:s3cret@host"), "redis://:***@host"),
    ],
)
def test_secrets_are_taken_out(value: object, shown: object) -> None:
    assert logs.redact(value) == shown


def test_json_lines_carry_what_the_work_is_about(
    configure: Callable[..., None], lines: Callable[[], list[dict[str, str]]]
) -> None:
    configure(log_format="json")
    with logs.about(run_id="r", bill="45-1 C-2"):
        structlog.get_logger("parlex.x").info("saved", url="redis://:s3cret@host")
    structlog.get_logger("parlex.x").info("after")
    inside, outside = lines()
    assert (inside["event"], inside["run_id"], inside["bill"]) == ("saved", "r", "45-1 C-2")
    assert inside["url"] == "redis://:***@host"
    assert "run_id" not in outside


def test_lines_of_libraries_go_the_same_way_without_secrets(
    configure: Callable[..., None], lines: Callable[[], list[dict[str, str]]]
) -> None:
    configure(log_format="json")
    with logs.about(task_id="t"):
        logging.getLogger("celery.worker").warning("connected to %s", "redis://:s3cret@host")
        try:
            raise ValueError("redis://:s3cret@host")
        except ValueError:
            logging.getLogger("kombu").exception("lost")
    connected, lost = lines()
    assert (connected["event"], connected["task_id"]) == ("connected to redis://:***@host", "t")
    assert connected["level"] == "warning"
    assert "redis://:***@host" in lost["exception"]
    assert "s3cret" not in json.dumps([connected, lost])


def test_extras_of_ours_are_shown_and_those_of_celery_are_not(
    configure: Callable[..., None], lines: Callable[[], list[dict[str, str]]]
) -> None:
    configure(log_format="json")
    logging.getLogger("parlex.runs.pipeline").info("planned", extra={"due": 3})
    logging.getLogger("celery.app.trace").info("done", extra={"data": "arguments"})
    ours, celery = lines()
    assert ours["due"] == 3
    assert "data" not in celery


def test_requests_are_not_logged_twice(
    configure: Callable[..., None], lines: Callable[[], list[dict[str, str]]]
) -> None:
    configure(log_format="json")
    logging.getLogger("httpx").info("HTTP Request: GET …")
    assert lines() == []
    configure(log_format="json", log_level="DEBUG")
    logging.getLogger("httpx").info("HTTP Request: GET …")
    assert len(lines()) == 1


def test_a_person_sees_an_icon_for_the_kind_of_event(
    configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(log_format="console")
    log = structlog.get_logger("parlex.x")
    log.info("closed", status="success")
    log.info("closed", status="failure")
    log.info("kept")
    good, bad, plain = capsys.readouterr().err.splitlines()
    assert "✔ closed" in good
    assert "✖ closed" in bad
    assert not any(icon in plain for icon in "✔✖◐▶")
    assert "\x1b" not in good
