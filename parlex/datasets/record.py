"""A record of a dataset, as its documents say it and as its rows hold it, and what differs between the two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from parlex.answers import as_json
from parlex.mirror.history import Change
from parlex.parliament import Outcome


@dataclass(frozen=True, slots=True)
class Record:
    """``facts`` by column, with Python's values. ``parts`` by name and by their key within the record, as JSON values,
    in the source's order."""

    key: str
    facts: dict[str, Any]
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def value(self, name: str) -> Any:
        """A fact, or a part as a whole, by its name."""
        return self.parts[name] if name in self.parts else self.facts[name]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of each key, the records to write, and the lines of history."""

    outcomes: dict[str, Outcome]
    to_write: list[Record]
    changes: list[Change]


def differences(held: Record, offered: Record) -> list[tuple[str, Any, Any]]:
    """(field, old, new) for each fact that differs, as JSON values; a part's field is ``memberships.1234``."""
    found = [
        (name, as_json(held.facts[name]), as_json(value))
        for name, value in offered.facts.items()
        if held.facts[name] != value
    ]
    for part, new in offered.parts.items():
        old = held.parts[part]
        keys = [*old, *(key for key in new if key not in old)]
        found += [(f"{part}.{key}", old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]
    return found


def with_held_parts(record: Record, held: Record | None, odd: Iterable[str]) -> Record:
    """The record with its held values where parts of its documents could not be read.

    ``odd`` names them: a column, a part as a whole, or one entry of it, as ``ballots.mark-carney``. What a document
    says beside an unreadable part stands; what it does not say may be in that part, and is kept.
    """
    facts, parts = dict(record.facts), dict(record.parts)
    for name in odd if held is not None else ():
        part, _, entry = name.partition(".")
        before = held.parts.get(part, {}) if held else {}
        if part in parts:
            kept = {key: value for key, value in before.items() if entry in ("", key)}
            parts[part] = {**kept, **parts[part]}
        elif held and facts.get(name, name) is None:
            facts[name] = held.facts[name]
    return replace(record, facts=facts, parts=parts)


# Of a (key, field) whose blank was noted: pending until its run is over, then open, rejected or approved.
States = Mapping[tuple[str, str], str]


def withheld(
    record: Record, held: Record | None, states: States, guarded: Sequence[str], *, unknown: bool = False
) -> tuple[Record, dict[str, Any]]:
    """The record with its held values in the columns whose blank is not believed, and these values.

    A blank is not believed while its run is under way, while it waits for a person's word, and after a person rejected
    it; with ``unknown`` nor where nothing was noted of it.
    """
    if held is None:
        return record, {}
    lost = [name for name in guarded if held.facts[name] is not None and record.facts[name] is None]
    state = {name: states.get((record.key, name), "pending" if unknown else "approved") for name in lost}
    kept = {name: held.facts[name] for name in lost if state[name] != "approved"}
    return (replace(record, facts={**record.facts, **kept}), kept) if kept else (record, {})
