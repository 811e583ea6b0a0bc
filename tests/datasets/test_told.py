"""How people are told of lines: below what happened, a record once for each, in words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from parlex.datasets import told
from parlex.mirror.history import ChangeRecord
from parlex.resources import Resources


def line(key: str, kind: str = "changed", field: str | None = None, old: Any = None, new: Any = None) -> ChangeRecord:
    parts: dict[str, Any] = {"parliament": 45, "session": 1, "number": key, "run_id": None}
    when = datetime(2026, 6, 10, tzinfo=UTC)
    about = {"kind": kind, "field": field, "old": old, "new": new}
    return ChangeRecord(seq=1, dataset="bills", key=f"45-1 {key}", observed_at=when, **about, **parts)


def test_lines_are_grouped_by_what_happened_in_the_order_of_the_list(make_resources: Callable[..., Resources]) -> None:
    datasets = make_resources().datasets
    lines = [
        line("C-10", field="status_fr", old="À l’étude", new="Adopté"),
        line("C-9", "withdrawn"),
        line("C-2", "created"),
        line("C-10", field="status_fr", old="Adopté", new="Sanctionné"),
        line("C-2", field="status_fr", new="Déposé"),
        line("S-1", field="text_url", new="x"),
    ]
    [(dataset, found)] = told.by_dataset(lines, datasets)
    grouped = {
        heading: {key[5:]: len(of) for key, of in each.items()} for heading, each in told.grouped(dataset, found, "fr")
    }
    assert list(grouped.items()) == [
        ("Nouveau", {"C-2": 1}),
        ("Nouvel état", {"C-2": 1, "C-10": 2}),
        ("Retiré de la liste", {"C-9": 1}),
        ("Autres faits", {"S-1": 0}),
    ]


def test_a_sentence_goes_from_the_first_old_value_to_the_last_new_one() -> None:
    changed = [line("C-2", field="status_fr", old="a", new="b"), line("C-2", field="status_fr", old="b", new="c")]
    assert told.sentence("45-1 C-2", "Loi", changed) == "45-1 C-2 Loi: a → c"
    assert told.sentence("45-1 C-2", "", [line("C-2", field="x", old=3, new=None)]) == "45-1 C-2: 3 → —"
    assert told.sentence("45-1 C-2", "Loi", [line("C-2", field="x", new={"a": 1})]) == '45-1 C-2 Loi, {"a": 1}'
    assert told.sentence("45-1 C-2", "Loi", [line("C-2", "created")]) == "45-1 C-2 Loi"
    long = told.sentence("45-1 C-2", "Loi " * 99, [])
    assert (len(long), long[-1]) == (told.TITLE_LENGTH, "…")
