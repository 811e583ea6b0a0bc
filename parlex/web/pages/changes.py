"""The page of changes: what the mirror saw, by day, session and dataset."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import groupby
from typing import Any

from sqlalchemy import Select, case, exists
from sqlalchemy.orm import aliased

from parlex.db.models import ChangeRow
from parlex.errors import UsageError
from parlex.parliament import OTTAWA, SessionId, moment_of, start_of
from parlex.serving import entries
from parlex.serving.entries import History
from parlex.serving.problems import Problem
from parlex.web.pages.site import View, Visit

FEW = 25  # lines of a record's history on its own page
LINES = 150  # of a page; a day or a record is never cut in silence, what follows has an address
DAYS = 14  # that a person may choose of
_CODES = {"status_code": "status", "ongoing_stage": "ongoing_stage"}  # with the field that has their words


def of_record(visit: Visit, dataset: str, key: str, until: str | None = None) -> History:
    """The newest news of a record. Of many lines at once the first are shown: its status before its events."""
    lines = in_words(visit, entries.of_record(visit.lang, dataset, key)).where(entries.IS_NEWS)
    found = entries.history(visit.db, entries.until(lines, moment_of(until)) if until else lines, LINES)
    few, left = [], FEW
    for entry in found.entries:
        few += [replace(entry, lines=entry.lines[:left])] if left else []
        left -= min(left, len(entry.lines))
    return replace(found, entries=tuple(few))


def in_words(visit: Visit, lines: Select[Any]) -> Select[Any]:
    """Without the codes whose words changed beside them."""
    row, words = ChangeRow, aliased(ChangeRow)
    field = case({code: f"{name}_{visit.lang}" for code, name in _CODES.items()}, value=row.field)
    beside = (words.dataset == row.dataset, words.key == row.key, words.observed_at == row.observed_at)
    told = exists().where(*beside, words.field == field, words.new.is_not(None) | row.new.is_(None))
    return lines.where(row.field.is_(None) | row.field.not_in(_CODES) | ~told)


def whole(visit: Visit, dataset: str, key: str) -> History:
    """A page of all of a record's lines, also where nothing but our reading changed."""
    return entries.history(visit.db, in_words(visit, entries.of_record(visit.lang, dataset, key)), LINES, before(visit))


def before(visit: Visit) -> int | None:
    """The number that a page goes on before. Problem 422 for what is none."""
    given = visit.query.get("before") or None
    if given is not None and not (given.isascii() and given.isdecimal() and len(given) < 19):
        raise Problem(422, f"before: {given[:50]!r} is no number of a line")
    return int(given) if given else None


def read(visit: Visit) -> View:
    given = {name: value for name in ("day", "session", "dataset") if (value := visit.query.get(name))}
    lines = entries.lines(visit.lang, [given["dataset"]] if "dataset" in given else visit.site.datasets)
    lines = in_words(visit, lines).where(entries.IS_NEWS)
    try:
        if "session" in given:
            lines = entries.of_session(lines, str(SessionId.parse(given["session"])))
        days = entries.days(visit.db, lines, DAYS)
        if "day" in given:
            lines = entries.on_day(lines, start_of(date.fromisoformat(given["day"]).isoformat()))
    except (ValueError, UsageError) as error:
        raise Problem(422, str(error)) from None
    history = entries.history(visit.db, lines, LINES, before(visit))
    by_day = groupby(history.entries, lambda each: each.observed_at.astimezone(OTTAWA).date())
    values = {
        "history": history,
        "by_day": [(day, list(found)) for day, found in by_day],
        "titles": visit.titles((one.dataset, one.key) for one in history.entries),
        "days": days,
        "given": given,
        "sessions": visit.sessions(),
    }
    title, about = str(visit.tongue.say("changes.title")), str(visit.tongue.say("changes.about"))
    feed = f"changes.atom?lang={visit.lang}"
    return View("changes.html", title, visit.paths("changes"), values, given, about=about, feed=feed, json="changes")
