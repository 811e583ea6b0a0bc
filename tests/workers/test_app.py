"""What every task goes through: whose message it is, and which errors are worth another try."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from redis import Redis
from sqlalchemy import Engine, NullPool, create_engine, delete, make_url, text
from sqlalchemy.orm import Session

from parlex.datasets.bills.dataset import BillDataset
from parlex.db.errors import READ_ONLY
from parlex.db.models import MirrorRow
from parlex.errors import ConfigurationError
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.mirror import identity
from parlex.settings import Settings
from tests import rows
from tests.db.test_engine import admin
from tests.test_door import WORKER, program, publish, worker
from tests.workers.test_beat import beat
from workers import tasks
from workers.app import MIRROR, MOST_PASSED_ON, PASSED_ON


@pytest.mark.live
def test_a_message_of_another_mirror_is_passed_on_and_at_last_refused_and_told(
    settings: Settings, engine: Engine, redis: Redis, log: Path
) -> None:
    """Those that name this mirror, or none as an older release, are taken."""

    def refused() -> int:
        return log.read_text().count("this message is of another mirror")

    other = str(uuid4())
    with Session(engine) as db:
        mine = str(identity.mirror_id(db))
    with worker(settings, log):
        publish(settings, "parlex.fetch_latest_bills", headers={MIRROR: other})
        publish(settings, "parlex.fetch_latest_bills", headers={MIRROR: {"no": ["id"] * 1000}})
        publish(settings, "parlex.keep_house", headers={MIRROR: mine})
        publish(settings, "parlex.prune")
        done = wait_until(lambda: log.read_text().count("succeeded in") >= 2 and refused() >= 2, 60)
    said = log.read_text()
    assert done, said
    assert said.count("message of another mirror passed on") == 2 * MOST_PASSED_ON
    assert f"this message is of another mirror, {other}: give each mirror a Redis database of its own" in said
    assert "Traceback" not in said
    with Session(engine) as db:
        assert other in identity.strangers(db, timedelta(minutes=5))
        assert db.connection().exec_driver_sql("select count(*) from fetch_logs").scalar_one() == 0


@pytest.mark.live
def test_what_an_older_version_read_for_less_is_read_again_by_the_workers(
    settings: Settings, engine: Engine, redis: Redis, log: Path
) -> None:
    with Session(engine) as db:
        db.add(rows.latest_document("C-2", rows.NOON, sha256="0" * 64))
        db.commit()

    def reading() -> int:
        with engine.connect() as db:
            return int(db.exec_driver_sql("select reading from latest_documents").scalar_one())

    assert reading() < BillDataset.reading
    with worker(settings, log):
        publish(settings, "parlex.keep_house")
        assert wait_until(lambda: reading() == BillDataset.reading, 60), log.read_text()


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


def all_out(url: str) -> str:
    return f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{make_url(url).database}'"


@pytest.mark.live
def test_a_database_that_turns_read_only_is_one_line_each_and_heals_by_itself(
    make_settings: Callable[..., Settings], sandbox: Sandbox, database: str, postgres_url: str, redis: Redis, log: Path
) -> None:
    """Under a worker and beat, with a run under way: as after a failover, when connections land on a standby."""
    settings = make_settings(
        legisinfo_url=sandbox.legisinfo_url,
        openparliament_url=sandbox.openparliament_url,
        keep_house_seconds=1,
        lease_seconds=2,
        resend_after_seconds=2,
    )
    server = make_url(postgres_url).set(database="postgres").render_as_string(hide_password=False)
    alter = f"alter database {make_url(database).database}"
    of_beat, looking = log.with_name("beat"), create_engine(database, poolclass=NullPool)

    def any_of(table: str, where: str) -> bool:
        with looking.connect() as connection:
            return bool(connection.execute(text(f"select exists (select from {table} where {where})")).scalar_one())

    sandbox.fault("slow", host="legisinfo", path="/bill/", seconds=1)
    with program(settings, log, *(word for word in WORKER if word not in ("-P", "solo"))), beat(settings, of_beat):
        publish(settings, "parlex.fetch_session_bills", 44, 1)
        assert wait_until(lambda: any_of("run_keys", "state = 'fetching'"), 60), log.read_text()
        admin(server, f"{alter} set default_transaction_read_only = on", all_out(database))
        publish(settings, "parlex.fetch_latest_bills")
        publish(settings, "parlex.check_alerts")
        publish(settings, "parlex.prune", headers={MIRROR: str(uuid4()), PASSED_ON: MOST_PASSED_ON})
        told = ("fetch_latest_bills", "keep_house", "check_alerts", "fetch_bills")
        refused = [rf"parlex\.{task}\[\S+ raised expected: ConfigurationError\('{READ_ONLY}'\)" for task in told]
        assert wait_until(lambda: all(re.search(one, log.read_text()) for one in refused), 60), log.read_text()
        assert wait_until(lambda: READ_ONLY in of_beat.read_text(), 60), of_beat.read_text()
        assert "message of another mirror refused" in log.read_text()
        admin(server, f"{alter} reset default_transaction_read_only")
        assert wait_until(lambda: any_of("fetch_logs", "status = 'success'"), 60), log.read_text()
        seen = "name like 'beat %' and seen_at > now() - interval '2 s'"
        assert wait_until(lambda: any_of("heartbeats", seen), 60), of_beat.read_text()
    assert "Traceback" not in log.read_text() + of_beat.read_text()
