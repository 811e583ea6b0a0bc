"""The numbers of the history on a real PostgreSQL: no gap, and in the order of commits."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from parlex.db import advisory
from parlex.db.models import ChangeRow
from parlex.mirror import history
from parlex.mirror.history import Change

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
KEY = "45-1 C-2"
WRITERS, BATCHES, SIZE = 2, 100, 100


def write(engine: Engine, name: str) -> None:
    """Batches of changes; each fifth transaction is rolled back, as one that fails is."""
    for batch in range(BATCHES):
        changes = [Change(KEY, "changed", name, None, batch * SIZE + n) for n in range(SIZE)]
        if batch % 5 == 0:
            with Session(engine) as db:
                history.append(db, "bills", changes, now=NOON, run_id=None)
                db.rollback()
        with Session(engine) as db, db.begin():
            history.append(db, "bills", changes, now=NOON, run_id=None)


def test_a_reader_that_asks_for_what_follows_misses_nothing(engine: Engine) -> None:
    writers = [threading.Thread(target=write, args=(engine, f"writer{n}")) for n in range(WRITERS)]
    for writer in writers:
        writer.start()
    seen: list[int] = []
    alive = True
    while alive:
        alive = any(writer.is_alive() for writer in writers)  # so that one more look follows the last commit
        with Session(engine) as db:
            query = select(ChangeRow.seq).where(ChangeRow.seq > (seen[-1] if seen else 0))
            seen += db.scalars(query.order_by(ChangeRow.seq))
    for writer in writers:
        writer.join()
    assert seen == list(range(1, WRITERS * BATCHES * SIZE + 1))
    with Session(engine) as db:
        each = "SELECT field, count(*), count(DISTINCT new) FROM changes GROUP BY field ORDER BY field"
        assert db.execute(text(each)).all() == [("writer0", BATCHES * SIZE, 10000), ("writer1", BATCHES * SIZE, 10000)]


def test_two_writers_of_the_same_bills_take_turns(engine: Engine) -> None:
    """In whatever order they name them: else each could hold what the other waits for."""
    names = [f"45-1 C-{n}" for n in range(2, 60)]
    done: list[str] = []

    def lock(order: list[str]) -> None:
        for _ in range(30):
            with Session(engine) as db, db.begin():
                advisory.lock(db, order)
        done.append(order[0])

    threads = [threading.Thread(target=lock, args=(order,)) for order in (names, names[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == sorted([names[0], names[-1]])
