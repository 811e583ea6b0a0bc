"""What every task goes through: whose message it is, and which errors are worth another try."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from redis import Redis
from sqlalchemy import Engine, delete
from sqlalchemy.orm import Session

from parlex.db.models import MirrorRow
from parlex.errors import ConfigurationError
from parlex.local.locks import wait_until
from parlex.mirror import identity
from parlex.settings import Settings
from tests.test_door import publish, worker
from workers import tasks
from workers.app import MIRROR


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "log").touch()
    return tmp_path / "log"


@pytest.mark.live
def test_a_message_of_another_mirror_is_refused_and_told(
    settings: Settings, engine: Engine, redis: Redis, log: Path
) -> None:
    """Those that name this mirror, or none as an older release, are taken."""
    other = str(uuid4())
    with Session(engine) as db:
        mine = str(identity.mirror_id(db))
    with worker(settings, log):
        publish(settings, "parlex.fetch_latest_bills", headers={MIRROR: other})
        publish(settings, "parlex.fetch_latest_bills", headers={MIRROR: {"no": ["id"] * 1000}})
        publish(settings, "parlex.keep_house", headers={MIRROR: mine})
        publish(settings, "parlex.prune")
        done = wait_until(lambda: log.read_text().count("succeeded in") >= 2, 60)
    said = log.read_text()
    assert done, said
    assert f"this message is of another mirror, {other}: give each mirror a Redis database of its own" in said
    assert "Traceback" not in said
    with Session(engine) as db:
        assert other in identity.strangers(db, timedelta(minutes=5))
        assert db.connection().exec_driver_sql("select count(*) from fetch_logs").scalar_one() == 0


def test_a_mirror_has_one_identity(db: Session) -> None:
    """A copy has it too: who makes a second mirror of a dump gives it another one."""
    first = identity.mirror_id(db)
    with pytest.raises(psycopg2.errors.UniqueViolation), raw(db):
        db.connection().exec_driver_sql("insert into mirror default values")
    db.execute(delete(MirrorRow))
    db.connection().exec_driver_sql("insert into mirror default values")
    assert identity.mirror_id(db) != first


@contextmanager
def raw(db: Session) -> Any:
    """The driver's own error, in a savepoint."""
    from sqlalchemy.exc import DBAPIError

    try:
        with db.begin_nested():
            yield
    except DBAPIError as error:
        raise error.orig or error from error


@pytest.mark.live
def test_what_cannot_heal_is_not_retried(
    make_settings: Callable[..., Settings], database: str, redis: Redis, log: Path
) -> None:
    """A database that does not exist fails a task at once and in one line; one that is away is waited for."""
    nowhere = make_settings(database_url=database.replace("parlex_test_", "parlex_gone_"))
    with worker(nowhere, log):
        publish(nowhere, "parlex.keep_house")
        assert wait_until(lambda: "raised" in log.read_text() or "Retry" in log.read_text(), 60), log.read_text()
    said = log.read_text()
    assert "the database that DATABASE_URL names does not exist" in said
    assert "Retry" not in said
    assert "Traceback" not in said
    log.write_text("")
    away = make_settings(database_url="postgresql://me:hush@127.0.0.1:1/x", retry_delay=60)
    with worker(away, log):
        publish(away, "parlex.keep_house")
        assert wait_until(lambda: "Retry" in log.read_text() or "raised" in log.read_text(), 60), log.read_text()
    assert "Retry in" in log.read_text()


def test_a_task_that_is_refused_raises_what_people_can_act_on() -> None:
    from redis.exceptions import AuthenticationError

    with pytest.raises(ConfigurationError, match="Redis refuses the user or the password"):
        tasks.keep_house.retry(exc=AuthenticationError("WRONGPASS"))
