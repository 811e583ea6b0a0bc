"""A fourth dataset is a folder: toys, from list to rows and all that is told of them, by the product's own path."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from parlex import resources as composition
from parlex.datasets import provenance, verdicts
from parlex.mirror import export, history
from parlex.resources import Resources
from parlex.runs import reads as run_reads
from parlex.watch import alerts
from parlex.watch.metrics import Gauges
from tests import looking
from tests.datasets.toys import SHELF, Shop, builder, make_tables, shop, toys_of

MANY = ("ball", "boat", "car", "doll", "kite", "train")


@pytest.fixture
def toy_shop() -> Iterator[Shop]:
    with shop() as found:
        for key in MANY:
            found.put(key)
        yield found


@pytest.fixture
def mirror(toy_shop: Shop, make_resources: Callable[..., Resources]) -> Iterator[Resources]:
    composition.DATASETS.append(builder(toy_shop.address))
    made = make_resources()
    make_tables(made.engine)
    try:
        yield made
    finally:
        composition.DATASETS.pop()


def fetch(mirror: Resources) -> Any:
    return looking.fetch_latest(mirror, "toys")


def lines(mirror: Resources, after: int = 0) -> list[tuple[str, str, str | None]]:
    with mirror.db() as db:
        return [(one.key, one.kind, one.field) for one in history.changes(db, after, dataset="toys")]


def rows(mirror: Resources, query: str) -> list[tuple[Any, ...]]:
    with mirror.db() as db:
        return [tuple(row) for row in db.execute(text(query))]


def test_from_the_list_to_rows_and_their_history(toy_shop: Shop, mirror: Resources) -> None:
    run = fetch(mirror)
    assert (run.status, run.created) == ("success", len(MANY))
    assert rows(mirror, "SELECT key, name, colour, maker FROM toys WHERE key = 'car'") == [
        ("car", "Toy car", "red", "Ada")
    ]
    assert rows(mirror, "SELECT place, size FROM toy_wheels WHERE key = 'car' ORDER BY place") == [
        ("left", 3),
        ("right", 3),
    ]
    assert lines(mirror) == [(key, "created", None) for key in MANY]

    toy_shop.asked.clear()
    assert (fetch(mirror).status, toy_shop.asked) == ("success", ["/toys"])
    before = len(MANY)
    toy_shop.put("car", mark=2, colour="blue", wheels={"left": 4, "right": 3})
    assert fetch(mirror).updated == 1
    assert lines(mirror, before) == [("car", "changed", "colour"), ("car", "changed", "wheels.left")]
    with mirror.db() as db:
        origins = {one.field: one.source for one in provenance.provenance(db, toys_of(mirror), "car")}
    assert origins == {"name": "shop", "colour": "shop", "maker": "workshop", "wheels": "workshop"}


def test_what_leaves_the_list_is_withdrawn_and_comes_back(toy_shop: Shop, mirror: Resources) -> None:
    fetch(mirror)
    toy_shop.remove("boat")
    fetch(mirror)
    assert rows(mirror, "SELECT key FROM toys WHERE withdrawn") == [("boat",)]
    toy_shop.put("boat")
    fetch(mirror)
    assert lines(mirror, len(MANY)) == [("boat", "withdrawn", None), ("boat", "reappeared", None)]
    (told,) = looking.verified(mirror, dataset="toys")
    assert (told.scope, told.complete, told.listed, told.held) == (SHELF, True, len(MANY), len(MANY))


def test_what_cannot_be_read_is_parked_told_and_replayed(toy_shop: Shop, mirror: Resources) -> None:
    good = toy_shop.answers["/toys/kite"]
    toy_shop.answers["/toys/kite"] = {"name": "Kite"}
    run = fetch(mirror)
    assert (run.status, run.created, run.failed) == ("partial", len(MANY) - 1, 1)
    (told,) = looking.verified(mirror, dataset="toys")
    assert (told.complete, told.missing, told.quarantined) == (False, ("kite",), ("kite",))
    with mirror.db() as db:
        (parked,) = verdicts.entries(db)
        story = run_reads.run_story(db, run_reads.find_run(db, run.run_id))
    assert (parked.dataset, parked.key, parked.kind, parked.field) == ("toys", "kite", "document", "colour")
    assert story is not None
    assert {change.key for change in story.changes} == {*MANY} - {"kite"}
    assert [entry.key for entry in story.quarantine] == ["kite"]

    # The code learns to read it: here the document is mended where it is kept, under its own name.
    toy_shop.answers["/toys/kite"] = good
    assert fetch(mirror).status == "success"
    with mirror.db() as db:
        assert list(verdicts.entries(db)) == []
    assert [part.differences for part in looking.again(mirror, "toys")] == [()]
    with mirror.db() as db:
        db.execute(text("UPDATE toys SET colour = 'grey' WHERE key = 'car'"))
    (part,) = looking.again(mirror, "toys", apply=True)
    assert [(one.key, one.kind, one.field, one.new) for one in part.differences] == [
        ("car", "reparsed", "colour", "red")
    ]
    assert rows(mirror, "SELECT colour FROM toys WHERE key = 'car'") == [("red",)]


def test_a_sample_is_asked_for_again(toy_shop: Shop, mirror: Resources) -> None:
    fetch(mirror)
    assert looking.sampled(mirror, 100, dataset="toys").clean
    toy_shop.put("doll", maker="Grace")
    found = looking.sampled(mirror, 100, dataset="toys")
    assert [(item.key, item.field, item.source) for item in found.mismatches] == [("doll", "maker", "Grace")]


def test_it_is_watched_and_exported(toy_shop: Shop, mirror: Resources, tmp_path: Path) -> None:
    fetch(mirror)
    with mirror.db() as db:
        db.execute(text("UPDATE sweeps SET swept_at = swept_at - interval '40 days' WHERE dataset = 'toys'"))
    news = alerts.check(mirror)
    assert "stale" in {row.rule for row in news.opened if "toys" in row.headline}

    registry = CollectorRegistry()
    registry.register(Gauges(mirror))
    labels = {"dataset": "toys", "source": "shop", "session": SHELF}
    age = registry.get_sample_value("parlex_session_freshness_seconds", labels)
    assert age is not None
    assert age > 40 * 86_400

    export.export(mirror.engine, mirror.datasets.values(), str(tmp_path), ["csv", "sqlite"])
    with (tmp_path / "toys.csv").open(encoding="utf-8") as body:
        assert [row["key"] for row in csv.DictReader(body)] == sorted(MANY)
    database = sqlite3.connect(tmp_path / "parlex.sqlite")
    try:
        assert database.execute("select count(*) from toy_wheels").fetchone() == (2 * len(MANY),)
        found = database.execute("select rowid from toys_fts where toys_fts match 'ada'").fetchall()
        assert len(found) == len(MANY)
        told = database.execute("select count(*) from record_changes where dataset = 'toys'").fetchone()
        assert told == (len(MANY),)
    finally:
        database.close()
