"""Whether a container is told to be well when it is, and ill when it is not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis
from sqlalchemy.orm import Session

from parlex.db.models import HeartbeatRow
from parlex.settings import Settings, environment
from parlex.watch import beats
from tests.test_structure import ROOT


def health(settings: Settings, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "workers.health", *words],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_beat_is_well_while_this_host_s_leaves_a_heartbeat(settings: Settings, db: Session) -> None:
    code, said = health(settings, "beat")
    assert code == 1
    assert "no beat on" in said
    beats.note(db, "elsewhere:1")
    db.commit()
    assert health(settings, "beat")[0] == 1
    beats.note(db, f"{socket.gethostname()}:{os.getpid()}")
    db.commit()
    assert health(settings, "beat") == (0, "")
    db.query(HeartbeatRow).update({"seen_at": datetime.now(UTC) - timedelta(minutes=3)})
    db.commit()
    assert health(settings, "beat")[0] == 1


@pytest.mark.parametrize(
    ("words", "changes", "named"),
    [
        (["beat"], {"database_url": "postgresql://me:hush@127.0.0.1:1/x"}, "the database does not answer"),
        ([], {"redis_url": "redis://:hush@127.0.0.1:1/0"}, "Redis does not answer (connection refused)"),
        ([], {}, "no worker on"),
    ],
)
def test_what_is_wrong_is_one_line(
    words: list[str], changes: dict[str, str], named: str, make_settings: Callable[..., Settings], redis: Redis
) -> None:
    code, said = health(make_settings(**changes), *words)
    assert code == 1
    assert named in said
    assert said.count("\n") == 1
    assert "hush" not in said
