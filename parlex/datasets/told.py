"""Lines of the history as people are told of them: what happened, to which record, from what to what."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from parlex.datasets.dataset import Dataset
from parlex.datasets.served import Words
from parlex.mirror.history import ChangeRecord

VALUE_LENGTH, TITLE_LENGTH = 300, 120
KINDS = {
    "created": Words("New", "Nouveau"),
    "withdrawn": Words("Left the list", "Retiré de la liste"),
    "reappeared": Words("Back on the list", "De retour dans la liste"),
}
OTHER = Words("Other facts", "Autres faits")
Lines = Mapping[str, Sequence[ChangeRecord]]  # by key


def by_dataset(lines: Iterable[ChangeRecord], datasets: Mapping[str, Dataset]) -> list[tuple[Dataset, Lines]]:
    """The lines of each dataset that has any."""
    found: dict[str, dict[str, list[ChangeRecord]]] = {}
    for line in lines:
        found.setdefault(line.dataset, {}).setdefault(line.key, []).append(line)
    return [(dataset, found[name]) for name, dataset in datasets.items() if name in found]


def grouped(dataset: Dataset, lines: Lines, lang: str) -> Iterator[tuple[str, Lines]]:
    """A dataset's lines below what happened: what is new, what changed, what left; and at last, below ``OTHER``, the
    records that none of it is about, without their lines."""
    lines = {key: lines[key] for key in sorted(lines, key=dataset.rank)}
    new, *others = [((kind, None), getattr(words, lang)) for kind, words in KINDS.items()]
    changed = [(("changed", field), heading) for field, heading in headings_of(dataset, lang).items()]
    told: set[str] = set()
    for what, heading in (new, *changed, *others):
        found = {key: [one for one in of if (one.kind, one.field) == what] for key, of in lines.items()}
        found = {key: of for key, of in found.items() if of}
        told |= found.keys()
        if found:
            yield heading, found
    if rest := {key: () for key in lines if key not in told}:
        yield getattr(OTHER, lang), rest


def sentence(key: str, title: str, lines: Sequence[ChangeRecord]) -> str:
    """A record, and what became of it: from the first old value to the last new one, whatever lay between."""
    told = shortened(f"{key} {title}".strip(), TITLE_LENGTH)
    if not lines or lines[0].field is None:
        return told
    old, new = lines[0].old, lines[-1].new
    return f"{told}, {value_of(new)}" if old is None else f"{told}: {value_of(old)} → {value_of(new)}"


def headings_of(dataset: Dataset, lang: str) -> dict[str, str]:
    return {spoken(name, lang): getattr(words, lang) for name, words in dataset.told_fields.items()}


def spoken(field: str, lang: str) -> str:
    """The field of that name in a language."""
    return f"{field.removesuffix('_en')}_{lang}" if field.endswith("_en") else field


def value_of(value: Any) -> str:
    if value is None:
        return "—"
    return shortened(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), VALUE_LENGTH)


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
