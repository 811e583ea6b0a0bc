"""The page of changes: what the mirror saw, by day, session and dataset."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import groupby

from parlex.errors import UsageError
from parlex.parliament import OTTAWA, SessionId, moment_of, start_of
from parlex.serving import entries
from parlex.serving.entries import History
from parlex.serving.problems import Problem
from parlex.web.pages.site import Values, View, Visit

FEW = 25  # lines of a record's history on its own page
LINES = 150  # of a page; a day or a record is never cut in silence, what follows has an address
DAYS = 14  # that a person may choose of


def of_record(visit: Visit, dataset: str, key: str, until: str | None = None) -> History:
    """The newest news of a record. Of many lines at once the first are shown: its status before its events."""
    found = entries.news_of(visit.db, visit.lang, dataset, key, moment_of(until) if until else None, LINES)
    few, left = [], FEW
    for entry in found.entries:
        few += [replace(entry, lines=entry.lines[:left])] if left else []
        left -= min(left, len(entry.lines))
    return replace(found, entries=tuple(few))


def whole(visit: Visit, dataset: str, key: str) -> History:
    """A page of all of a record's lines, also where nothing but our reading changed."""
    lines = entries.in_words(entries.of_record(visit.lang, dataset, key), visit.lang)
    return entries.history(visit.db, lines, LINES, before(visit))


def before(visit: Visit) -> int | None:
    """The number that a page goes on before. Problem 422 for what is none."""
    given = visit.query.get("before") or None
    if given is not None and not (given.isascii() and given.isdecimal() and len(given) < 19):
        raise Problem(422, f"before: {given[:50]!r} is no number of a line")
    return int(given) if given else None


def read(visit: Visit) -> View:
    given = {name: value for name in ("day", "session", "dataset") if (value := visit.query.get(name))}
    lines = entries.lines(visit.lang, [given["dataset"]] if "dataset" in given else visit.site.datasets)
    lines = entries.in_words(lines, visit.lang).where(entries.IS_NEWS)
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
    values: Values = {"history": history, "days": days, "given": given, "sessions": visit.sessions()}
    values["titles"] = visit.titles((one.dataset, one.key) for one in history.entries)
    values["by_day"] = [(day, list(found)) for day, found in by_day]
    title, about = str(visit.tongue.say("changes.title")), str(visit.tongue.say("changes.about"))
    feed = f"changes.atom?lang={visit.lang}"
    return View("changes.html", title, visit.paths("changes"), values, given, about=about, feed=feed, json="changes")
