"""The whole examination, and the one table that it and the documents are made from."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy.orm import Session

from parlex.errors import ConfigurationError
from parlex.settings import Settings
from parlex.watch import doctor
from parlex.watch.doctor.findings import Check, Finding
from tests import rows
from tests.watch.doctor.looks import is_of, named, only, told

MakeSettings = Callable[..., Settings]
ROOT = Path(__file__).resolve().parents[3]


def examine(settings: Settings, *alive: str, ask_sources: bool = False) -> list[Check]:
    return list(doctor.examine(settings, lambda: alive, datetime.now(UTC), ask_sources=ask_sources))


def test_everything_is_looked_at(settings: Settings, db: Session) -> None:
    db.add_all([rows.sweep(datetime.now(UTC), is_current=False)])
    db.commit()
    checks = examine(settings, "control", "deliver", "fetch", "persist")
    names = "settings contact home servers database rights space clock redis policy memory clock workers host host"
    assert [check.name.partition(" ")[0] for check in checks] == [*names.split(), "beat", "freshness"]
    assert len({check.name for check in checks}) == len(checks)
    only(checks, Finding.BEAT_NEVER)


def test_nothing_is_asked_of_a_redis_that_takes_no_writes(settings: Settings, redis: Redis, db: Session) -> None:
    """Its workers cannot be asked; what the database says is told all the same."""

    def ask() -> tuple[str, ...]:
        raise AssertionError("the workers were asked")

    redis.config_set("maxmemory", "1mb")
    try:
        checks = list(doctor.examine(settings, ask, datetime.now(UTC)))
    finally:
        redis.config_set("maxmemory", "0")
    [broker] = named(checks, "redis")
    assert is_of(broker, Finding.REDIS_REFUSES_WRITES)
    assert not named(checks, "workers")
    assert named(checks, "freshness")


def test_the_sources_are_looked_at_only_where_that_is_asked_for(make_settings: MakeSettings) -> None:
    settings = make_settings(legisinfo_url="http://127.0.0.1:1", openparliament_url="http://127.0.0.1:1")
    assert not named(examine(settings), "source")
    [check] = named(examine(settings, ask_sources=True), "source")
    assert is_of(check, Finding.SOURCE_AWAY)


def test_without_a_home_no_server_is_started(make_settings: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = make_settings(home=tmp_path / "file" / "home", database_url=None)
    assert is_of(told(examine(settings))[-1], Finding.HOME_READ_ONLY)


def test_a_server_that_cannot_be_started(make_settings: MakeSettings, tmp_path: Path) -> None:
    """A data folder of another PostgreSQL."""
    home = tmp_path / "home"
    data = home / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9.6\n")
    only(examine(make_settings(home=home, database_url=None)), Finding.SERVERS_NONE)


def test_settings_that_cannot_be_read() -> None:
    check = only([doctor.wrong_settings(ConfigurationError("PARLEX_X: is wrong"))], Finding.SETTINGS_WRONG)
    assert check.found == "PARLEX_X: is wrong"


# The table.


def test_each_row_has_a_test() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    tried = set(re.findall(r"Finding\.([A-Z_]+)", tests))
    assert {finding.name for finding in Finding} == tried


def test_the_document_has_the_table() -> None:
    assert doctor.table() in (ROOT / "docs" / "doctor.md").read_text()


@pytest.mark.parametrize("finding", Finding)
def test_a_row_is_a_sentence_and_its_advice(finding: Finding) -> None:
    row = finding.value
    assert row.state != "ok"
    assert row.means
    assert row.advice
    assert "|" not in row.means + row.advice
