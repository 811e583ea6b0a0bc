"""The history as Atom feeds (RFC 4287): what happened to a record in a transaction is one entry.

An entry's id is made of the mirror's id and of the number of its first line, so that it is the same on every host and
by every address. That our reading changed is no news.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5
from xml.etree import ElementTree

from sqlalchemy import Engine, Select, func, select
from sqlalchemy.orm import Session

from parlex.answers import as_json
from parlex.datasets.dataset import Dataset
from parlex.datasets.served import Served, Words
from parlex.datasets.told import KINDS, OTHER, TITLE_LENGTH, headings_of, shortened, spoken, value_of
from parlex.db.models import ChangeRow, MirrorRow
from parlex.db.reads import PAGE
from parlex.serving import changes, formats
from parlex.serving.bodies import Body
from parlex.serving.records import path_of, require_held

LANGUAGES = Words._fields
_TYPE = formats.MEDIA_TYPES[formats.ATOM]
_NAMESPACE = "http://www.w3.org/2005/Atom"
ALL = Words("What changed in Parliament", "Ce qui a changé au Parlement")


@dataclass(slots=True)
class _Entry:
    """``lines``: what happened to a record in a transaction, newest first."""

    dataset: str
    key: str
    observed_at: datetime
    lines: list[_Line]


@dataclass(frozen=True, slots=True)
class _Line:
    seq: int
    kind: str
    field: str | None
    old: str
    new: str


def feed(
    engine: Engine,
    datasets: Mapping[str, Dataset],
    given: Mapping[str, Any],
    of: Served | None,
    *,
    address: str,
    base: str,
) -> Body:
    """The feed of what is ``given``: its language and limit, and what its lines must be of. ``of``: the record's
    declaration, where it is of one, which must be held. ``address`` is its own; ``base`` that of the server."""
    lang = given["lang"]
    with Session(engine) as db:
        mirror, made_at = db.execute(select(MirrorRow.id, MirrorRow.made_at)).one()
        if of is not None:
            require_held(db.connection(), of, given["key"])
        entries = _entries(db, given)
        titles: dict[tuple[str, str], str] = {}
        for name, dataset in datasets.items():
            keys = {entry.key for entry in entries if entry.dataset == name}
            found = dataset.titles(db, keys, lang) if keys else {}
            titles |= {(name, key): title for key, title in found.items()}
    about = {name: value for name, value in given.items() if name != "limit"}
    root = ElementTree.Element("feed", {"xmlns": _NAMESPACE, "xml:lang": lang})
    _add(root, "id", uuid5(mirror, json.dumps(about, sort_keys=True)).urn)
    _add(root, "title", _title(datasets, given, titles))
    _add(root, "updated", as_json(entries[0].observed_at if entries else made_at))
    _add(_add(root, "author"), "name", "Parlex")
    _add(root, "link", rel="self", type=_TYPE, href=address)
    for entry in entries:
        title = titles.get((entry.dataset, entry.key), "")
        _write(_add(root, "entry"), entry, datasets.get(entry.dataset), mirror, title, base, lang)
    written = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return Body(written, _TYPE)


def _title(datasets: Mapping[str, Dataset], given: Mapping[str, Any], titles: Mapping[tuple[str, str], str]) -> str:
    lang, dataset, key = given["lang"], given.get("dataset"), given.get("key")
    told = [key, titles.get((dataset, key), "")] if dataset and key else [key]
    served = datasets[dataset].served if dataset else None
    told += [getattr(served.called, lang) if served and not key else None, given.get("session")]
    if "field" in given:
        headings = (headings_of(each, lang).get(spoken(given["field"], lang)) for each in datasets.values())
        told.append(next(heading for heading in headings if heading))
    return ": ".join(["Parlex", shortened(", ".join(filter(None, told)) or getattr(ALL, lang), TITLE_LENGTH)])


def _write(
    to: ElementTree.Element,
    entry: _Entry,
    dataset: Dataset | None,
    mirror: UUID,
    title: str,
    base: str,
    lang: str,
) -> None:
    headings = headings_of(dataset, lang) if dataset else {}
    lines = sorted(entry.lines, key=lambda line: line.seq)
    news = [_news(line, headings, lang) for line in lines]
    _add(to, "id", uuid5(mirror, str(lines[0].seq)).urn)
    told = ", ".join(dict.fromkeys(filter(None, news))) or getattr(OTHER, lang)
    _add(to, "title", f"{shortened(f'{entry.key} {title}'.strip(), TITLE_LENGTH)}: {told}")
    _add(to, "updated", as_json(entry.observed_at))
    _add(to, "published", as_json(entry.observed_at))
    if dataset is not None and dataset.served is not None:
        _add(to, "link", rel="alternate", href=base + path_of(dataset.served, entry.key))
    _add(to, "category", term=entry.dataset)
    points = [
        f"{one or line.field}: {line.old} → {line.new}" if line.field else str(one)
        for line, one in zip(lines, news, strict=True)
    ]
    _add(to, "content", "<ul>" + "".join(f"<li>{html.escape(one)}</li>" for one in points) + "</ul>", type="html")


def _entries(db: Session, given: Mapping[str, Any]) -> list[_Entry]:
    """The newest entries. A transaction's lines follow each other, so that its entries are whole once it is passed."""
    found: dict[tuple[Any, ...], _Entry] = {}
    last: tuple[Any, ...] | None = None  # the transaction of the last entry that is wanted
    for row in db.execute(_lines(given).execution_options(yield_per=PAGE)):
        transaction = (row.observed_at, row.run_id)
        if last is not None and transaction != last:
            break
        place = (row.dataset, row.key, *transaction)
        if place not in found and last is None:
            found[place] = _Entry(row.dataset, row.key, row.observed_at, [])
            last = transaction if len(found) == given["limit"] else None
        if place in found:
            line = _Line(row.seq, row.kind, row.field, value_of(row.old), value_of(row.new))
            found[place].lines.append(line)
    return list(found.values())


def _lines(given: Mapping[str, Any]) -> Select[Any]:
    """The lines that are news in the language, newest first."""
    row, lang = ChangeRow, given["lang"]
    query = select(row.seq, row.dataset, row.key, row.kind, row.field, row.old, row.new, row.observed_at, row.run_id)
    query = query.where(row.kind != "reparsed")
    for other in LANGUAGES:
        if other != lang:
            query = query.where(func.coalesce(row.field, "").not_like(f"%\\_{other}"))
    for name in ("dataset", "session", "key"):
        if name in given:
            query = query.where(changes.LINES.filters[name].where(given[name]))
    if "field" in given:
        query = query.where(row.field == spoken(given["field"], lang), row.kind == "changed")
    return query.order_by(row.seq.desc())


def _news(line: _Line, headings: Mapping[str, str], lang: str) -> str | None:
    """What a line is called, where it has a name."""
    if line.field is None:
        return str(getattr(KINDS[line.kind], lang))
    return headings.get(line.field)


def _add(to: ElementTree.Element, name: str, text: str | None = None, **attributes: str) -> ElementTree.Element:
    made = ElementTree.SubElement(to, name, attributes)
    made.text = None if text is None else _NOT_XML.sub("", text)
    return made


_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2
