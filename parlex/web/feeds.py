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
from functools import partial
from typing import Any, Literal
from urllib.parse import quote
from uuid import UUID, uuid5
from xml.etree import ElementTree

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from pydantic import Field, create_model
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from parlex.answers import as_json
from parlex.datasets.dataset import Dataset
from parlex.datasets.served import Cover, Words
from parlex.db.models import ChangeRow, MirrorRow
from parlex.db.reads import PAGE
from parlex.web import changes, formats, routes
from parlex.web.bodies import Body
from parlex.web.context import PREFIX, Context, accepted, address_with, key_of, require_held
from parlex.web.questions import Parameters

USUAL, MOST = 50, 500  # entries of a feed; /changes has them all
VALUE_LENGTH, TITLE_LENGTH = 300, 120
SUFFIX = f".{formats.ATOM}"
_TYPE = formats.MEDIA_TYPES[formats.ATOM]
_NAMESPACE = "http://www.w3.org/2005/Atom"
_KINDS = {
    "created": Words("New", "Nouveau"),
    "withdrawn": Words("Left the list", "Retiré de la liste"),
    "reappeared": Words("Back on the list", "De retour dans la liste"),
}
_OTHER = Words("Other facts", "Autres faits")
_ALL = Words("What changed in Parliament", "Ce qui a changé au Parlement")
_LANGUAGES = Words._fields


class FeedRoute(APIRoute):
    """A route that is taken where Atom is asked for, by the suffix or by Accept."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or not _wanted(scope):
            return Match.NONE, {}
        return super().matches({**scope, "path": scope["path"] + SUFFIX})


def _wanted(scope: Scope) -> bool:
    suffix = scope["state"]["format"]
    if suffix is not None:
        return bool(suffix == formats.ATOM)
    accept = Headers(scope=scope).get("Accept", "")
    return _TYPE in accept.lower() and accepted(accept, tuple(formats.MEDIA_TYPES)) == formats.ATOM


def router(context: Context, datasets: Mapping[str, Dataset]) -> APIRouter:
    """The feeds of everything, of each list, and of each record."""
    found = APIRouter(route_class=FeedRoute)
    told = {name for dataset in datasets.values() for name in dataset.told_fields}

    def add(path: str, help: str, of: Dataset | None, parts: Mapping[str, str], more: Mapping[str, Any]) -> None:
        fields = sorted(of.told_fields if of else told)
        name = path.strip("/").replace("/", " ").replace("{", "").replace("}", "").title().replace(" ", "")
        answer = _Feed(context, datasets, of, one=bool(parts)).answer
        parameters = _parameters(f"{name}FeedParameters", fields, more)
        about: dict[str, Any] = {"parameters": parameters, "parts": parts, "written_as": (formats.ATOM,)}
        routes.get(found, path + SUFFIX, answer, help=help, tag="feeds", **about)

    filters = changes.filters(datasets)
    add("/changes", "A feed of everything.", None, {}, filters)
    for dataset in datasets.values():
        if served := dataset.served:
            path = f"/{served.list.name}"
            scoped = {"session": filters["session"]} if served.list.scope else {}
            add(path, f"A feed of the {served.list.name}.", dataset, {}, scoped)
            add(f"{path}/{served.path}", f"A feed of one {served.one}.", dataset, served.example, {})
    return found


def _parameters(title: str, fields: list[str], more: Mapping[str, Any]) -> type[Parameters]:
    found: dict[str, Any] = dict(more)
    found["lang"] = (Literal[_LANGUAGES], Field("en", description="the language"))
    found["limit"] = (int, Field(USUAL, ge=1, le=MOST, description="entries; /changes has all"))
    if fields:
        found["field"] = (Literal[tuple(fields)] | None, Field(None, description="only where this changed"))
    model: type[Parameters] = create_model(title, __base__=Parameters, **found)
    return model


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


class _Feed:
    """``of``: the dataset it is of, or all. ``one``: whether it is of one record, which the path names."""

    def __init__(self, context: Context, datasets: Mapping[str, Dataset], of: Dataset | None, *, one: bool) -> None:
        self._context, self._datasets, self._of = context, datasets, of
        self._served = of.served if of and one else None

    async def answer(self, request: Request, query: Any) -> Response:
        given = {name: value for name, value in query.model_dump().items() if value is not None}
        if self._of is not None:
            given["dataset"] = self._of.name
        if self._served is not None:
            given["key"] = key_of(self._served, request)
        dataset = given.get("dataset")
        key = given.get("key")
        covers = [Cover(dataset, None if key else given.get("session"), key)] if dataset else []
        make = partial(self._body, request, given)
        return await self._context.answers.covered(request, covers, make, SUFFIX)

    def _body(self, request: Request, given: Mapping[str, Any]) -> Body:
        lang = given["lang"]
        with Session(self._context.engine) as db:
            mirror, made_at = db.execute(select(MirrorRow.id, MirrorRow.made_at)).one()
            if self._served is not None:
                require_held(db.connection(), self._served, given["key"])
            entries = _entries(db, given)
            titles: dict[tuple[str, str], str] = {}
            for name, dataset in self._datasets.items():
                keys = {entry.key for entry in entries if entry.dataset == name}
                found = dataset.titles(db, keys, lang) if keys else {}
                titles |= {(name, key): title for key, title in found.items()}
        about = {name: value for name, value in given.items() if name != "limit"}
        root = ElementTree.Element("feed", {"xmlns": _NAMESPACE, "xml:lang": lang})
        _add(root, "id", uuid5(mirror, json.dumps(about, sort_keys=True)).urn)
        _add(root, "title", self._title(given, titles))
        _add(root, "updated", as_json(entries[0].observed_at if entries else made_at))
        _add(_add(root, "author"), "name", "Parlex")
        _add(root, "link", rel="self", type=_TYPE, href=address_with(request))
        base = f"{request.base_url}".rstrip("/") + PREFIX
        for entry in entries:
            title = titles.get((entry.dataset, entry.key), "")
            self._write(_add(root, "entry"), entry, mirror, title, base, lang)
        written = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
        return Body(written, _TYPE)

    def _title(self, given: Mapping[str, Any], titles: Mapping[tuple[str, str], str]) -> str:
        lang, dataset, key = given["lang"], given.get("dataset"), given.get("key")
        told = [key, titles.get((dataset, key), "")] if dataset and key else [key]
        told += [dataset if not key else None, given.get("session")]
        if "field" in given:
            headings = (_headings(each, lang).get(_spoken(given["field"], lang)) for each in self._datasets.values())
            told.append(next(heading for heading in headings if heading))
        return ": ".join(["Parlex", _shortened(", ".join(filter(None, told)) or getattr(_ALL, lang), TITLE_LENGTH)])

    def _write(self, to: ElementTree.Element, entry: _Entry, mirror: UUID, title: str, base: str, lang: str) -> None:
        dataset = self._datasets.get(entry.dataset)
        headings = _headings(dataset, lang) if dataset else {}
        lines = sorted(entry.lines, key=lambda line: line.seq)
        news = [_news(line, headings, lang) for line in lines]
        _add(to, "id", uuid5(mirror, str(lines[0].seq)).urn)
        told = ", ".join(dict.fromkeys(filter(None, news))) or getattr(_OTHER, lang)
        _add(to, "title", f"{_shortened(f'{entry.key} {title}'.strip(), TITLE_LENGTH)}: {told}")
        _add(to, "updated", as_json(entry.observed_at))
        _add(to, "published", as_json(entry.observed_at))
        if dataset is not None and dataset.served is not None:
            path = "/".join(quote(part, safe="") for part in entry.key.split(" "))
            _add(to, "link", rel="alternate", href=f"{base}/{dataset.served.list.name}/{path}")
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
            line = _Line(row.seq, row.kind, row.field, _told(row.old), _told(row.new))
            found[place].lines.append(line)
    return list(found.values())


def _lines(given: Mapping[str, Any]) -> Select[Any]:
    """The lines that are news in the language, newest first."""
    row, lang = ChangeRow, given["lang"]
    query = select(row.seq, row.dataset, row.key, row.kind, row.field, row.old, row.new, row.observed_at, row.run_id)
    query = query.where(row.kind != "reparsed")
    for other in _LANGUAGES:
        if other != lang:
            query = query.where(func.coalesce(row.field, "").not_like(f"%\\_{other}"))
    for name in ("dataset", "session", "key"):
        if name in given:
            query = query.where(changes.LINES.filters[name].where(given[name]))
    if "field" in given:
        query = query.where(row.field == _spoken(given["field"], lang), row.kind == "changed")
    return query.order_by(row.seq.desc())


def _headings(dataset: Dataset, lang: str) -> dict[str, str]:
    return {_spoken(name, lang): getattr(words, lang) for name, words in dataset.told_fields.items()}


def _spoken(field: str, lang: str) -> str:
    """The field of that name in a language."""
    return f"{field.removesuffix('_en')}_{lang}" if field.endswith("_en") else field


def _news(line: _Line, headings: Mapping[str, str], lang: str) -> str | None:
    """What a line is called, where it has a name."""
    if line.field is None:
        return str(getattr(_KINDS[line.kind], lang))
    return headings.get(line.field)


def _told(value: Any) -> str:
    if value is None:
        return "—"
    return _shortened(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), VALUE_LENGTH)


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _add(to: ElementTree.Element, name: str, text: str | None = None, **attributes: str) -> ElementTree.Element:
    made = ElementTree.SubElement(to, name, attributes)
    made.text = None if text is None else _NOT_XML.sub("", text)
    return made


_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2
