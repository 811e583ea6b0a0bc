"""Listings on a real PostgreSQL: what is written, and what is not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from parlex.mirror import listings
from parlex.mirror.listings import Line, Place
from tests.statements import statements

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
PLACE = Place("bills", "legisinfo", "45-1")


def lines(*marks: str) -> list[Line]:
    return [Line(f"45-1 C-{n}", mark, date(2026, 1, n), {"status_code": mark}) for n, mark in enumerate(marks, 2)]


def keep(db: Session, given: list[Line], now: datetime = NOON) -> None:
    listings.save_listings(db, PLACE, given, listings.listings(db, "bills", "legisinfo", "45-1"), now=now)


def test_a_list_that_did_not_change_writes_nothing(db: Session, engine: Engine) -> None:
    keep(db, lines("a", "b"))
    with statements(engine) as sent:
        keep(db, lines("a", "b"), LATER)
    assert [sql for sql in sent if not sql.startswith("SELECT")] == []


def test_only_the_line_that_moved_is_written(db: Session) -> None:
    keep(db, lines("a", "b"))
    keep(db, lines("a", "changed"), LATER)
    held = listings.listings(db, "bills", "legisinfo", "45-1")
    assert {key: (row.fingerprint, row.first_seen_at, row.seen_at) for key, row in held.items()} == {
        "45-1 C-2": ("a", NOON, NOON),
        "45-1 C-3": ("changed", NOON, LATER),
    }


def test_a_line_that_comes_back_is_no_longer_gone(db: Session) -> None:
    keep(db, lines("a"))
    listings.mark_gone(db, PLACE, ["45-1 C-2"], now=NOON)
    assert listings.listings(db, "bills", "legisinfo", "45-1")["45-1 C-2"].gone_at == NOON
    keep(db, lines("a"), LATER)
    assert listings.listings(db, "bills", "legisinfo", "45-1")["45-1 C-2"].gone_at is None


def test_what_was_fetched_for_a_line_clears_its_failure(db: Session) -> None:
    keep(db, lines("a"))
    listings.mark_unfetched(db, "bills", "legisinfo", ["45-1 C-2"], now=NOON)
    row = listings.listings(db, "bills", "legisinfo", "45-1")["45-1 C-2"]
    assert (row.failed_at, row.failed_fingerprint, row.fetched_fingerprint) == (NOON, "a", None)
    listings.mark_fetched(db, "bills", "legisinfo", {"45-1 C-2": "a"})
    row = listings.listings(db, "bills", "legisinfo", "45-1")["45-1 C-2"]
    assert (row.failed_at, row.failed_fingerprint, row.fetched_fingerprint) == (None, None, "a")


def test_nothing_to_mark_sends_nothing(db: Session, engine: Engine) -> None:
    db.connection()
    with statements(engine) as sent:
        listings.mark_gone(db, PLACE, [], now=NOON)
        listings.mark_fetched(db, "bills", "legisinfo", {})
    assert sent == []
