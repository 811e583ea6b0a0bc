"""What each filter should find: computed from an export, a line at a time, with no code of the mirror's own."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from parlex.mirror import export
from parlex.resources import Resources

Line = dict[str, Any]
_TEXTS = {
    "bills": ("title_en", "short_title_en", "title_fr", "short_title_fr", "summary_en", "summary_fr"),
    "votes": ("description_en", "description_fr"),
    "politicians": ("name",),
}


class Judge:
    """Reads the export's JSON Lines, and replays the history backwards to know what a bill was at each line.
    ``backfills``: the runs that brought a session for the first time."""

    def __init__(self, mirror: Resources, folder: Path, backfills: Collection[str] = ()) -> None:
        export.export(mirror.engine, mirror.datasets.values(), str(folder), ["jsonl"])
        tables = {file.stem: _rows(file) for file in folder.glob("*.jsonl")}
        self.lines: list[Line] = tables["changes"]
        self.then: dict[int, Line] = {}  # the bill right after the line
        state = {bill["key"]: bill for bill in tables["bills"]}
        for line in reversed(self.lines):
            if line["dataset"] == "bills":
                self.then[line["seq"]] = dict(state[line["key"]])
                if line["field"] in state[line["key"]]:
                    state[line["key"]][line["field"]] = line["old"]
        self.ballots: list[Line] = tables["ballots"]
        self._cast = {(f"{row['parliament']}-{row['session']} {row['number']}", row["slug"]) for row in self.ballots}
        self._words = {
            (dataset, row.get("key") or row["slug"]): _words(" ".join(row.get(name) or "" for name in names))
            for dataset, names in _TEXTS.items()
            for row in tables[dataset]
        }
        self._backfills = backfills

    def wants(self, wanted: dict[str, Any], line: Line) -> bool:
        session, _, number = line["key"].partition(" ")
        then = self.then.get(line["seq"])
        included = wanted.get("include", ())
        checks: dict[str, Callable[[Any], bool]] = {
            "dataset": lambda value: line["dataset"] == value,
            "session": lambda value: session == value,
            "number": lambda value: number in value,
            "status": lambda value: then is not None and then["status_code"] in value,
            "sponsor": lambda value: (
                then is not None
                and (then["sponsor_slug"] == value or value.lower() in (then["sponsor_name"] or "").lower())
            ),
            "politician": lambda value: line["dataset"] == "votes" and (line["key"], value) in self._cast,
            "q": lambda value: _words(value) <= self._words[line["dataset"], line["key"]],
            "include": lambda value: True,
        }
        if line["kind"] == "reparsed" and "reparsed" not in included:
            return False
        if line["kind"] == "created" and line["run_id"] in self._backfills and "backfills" not in included:
            return False
        return all(checks[name](value) for name, value in wanted.items())

    def of(self, wanted: dict[str, Any], after: int) -> list[int]:
        """The numbers of the lines that a filter finds after one."""
        return [line["seq"] for line in self.lines if line["seq"] > after and self.wants(wanted, line)]


def _rows(file: Path) -> list[Line]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def _words(text: str) -> frozenset[str]:
    """Without case, accents, or the s of a plural."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return frozenset(word.removesuffix("s") for word in re.findall(r"[a-z0-9]+", plain))
