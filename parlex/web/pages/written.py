"""Numbers, days and instants as each language writes them in Canada; and foreign text as a page may show it.

Two languages need twelve months each and four rules, so that no library is asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

import nh3
from markupsafe import Markup, escape

from parlex.datasets.served import LANGUAGES
from parlex.parliament import OTTAWA
from parlex.web.pages.words import Tongue

NO_BREAK = "\N{NO-BREAK SPACE}"
_MONTHS = {
    "en": "January,February,March,April,May,June,July,August,September,October,November,December",
    "fr": "janvier,février,mars,avril,mai,juin,juillet,août,septembre,octobre,novembre,décembre",
}
_SHORT = {
    "en": "Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec",
    "fr": "janv.,févr.,mars,avril,mai,juin,juill.,août,sept.,oct.,nov.,déc.",
}
# What LEGISinfo writes its summaries with; nothing that loads, moves or styles.
_TAGS = {"p", "br", "b", "strong", "i", "em", "u", "sup", "sub", "ul", "ol", "li", "blockquote", "a"}
_SHOWN = 300  # characters of a value
# Whose names a field's values have, where they are not called after it.
_CODES = {"bill_type": "type", "current_party": "party", "kind": "event", "ongoing_stage": "stage"}


class Writing:
    """How one language writes."""

    def __init__(self, tongue: Tongue) -> None:
        self._tongue, self._lang = tongue, tongue.lang
        self._order = sorted(LANGUAGES, key=lambda each: each != self._lang)
        # A page has the same numbers and days many times.
        self.data, self.day = lru_cache(4096, typed=True)(self._data), lru_cache(4096)(self._day)

    @property
    def colon(self) -> str:
        return f"{NO_BREAK}: " if self._lang == "fr" else ": "

    def number(self, value: float, digits: int = 0) -> str:
        text = f"{value:,.{digits}f}"
        return text.replace(",", NO_BREAK).replace(".", ",") if self._lang == "fr" else text

    def percent(self, share: float, digits: int = 0) -> str:
        return f"{self.number(share * 100, digits)}{NO_BREAK if self._lang == 'fr' else ''}%"

    def _data(self, value: float, digits: int = 0) -> Markup:
        """A quantity as ``<data>``."""
        return Markup(f'<data value="{value}">{self.number(value, digits)}</data>')

    def _day(self, value: date | str | None, *, short: bool = False) -> Markup:
        """A day as ``<time>``; a dash for none."""
        if value is None:
            return Markup("—")
        found = date.fromisoformat(value) if isinstance(value, str) else value
        return _time(found.isoformat(), self.plain_day(found, short=short))

    def plain_day(self, day: date, *, short: bool = False) -> str:
        return (NO_BREAK if self._lang == "fr" else ", ").join(self.in_two(day, short=short))

    def in_two(self, value: date | str, *, short: bool = True) -> tuple[str, str]:
        """A day in two parts: day and month, and the year."""
        day = date.fromisoformat(value) if isinstance(value, str) else value
        month = self.month(day, short=short)
        if self._lang == "fr":
            return f"{'1er' if day.day == 1 else day.day}{NO_BREAK}{month}", str(day.year)
        return f"{month}{NO_BREAK}{day.day}", str(day.year)

    def month(self, day: date, *, short: bool = True) -> str:
        return (_SHORT if short else _MONTHS)[self._lang].split(",")[day.month - 1]

    def instant(self, value: datetime | str | None) -> Markup:
        """An instant as ``<time>``, in Ottawa; a dash for none."""
        if value is None:
            return Markup("—")
        found = (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(OTTAWA)
        clock = f"{found.hour}{NO_BREAK}h{NO_BREAK}{found:%M}" if self._lang == "fr" else f"{found:%H:%M}"
        told = f"{self.plain_day(found.date())}, {clock}"
        return _time(found.isoformat(timespec="seconds"), told)

    def ago(self, age: timedelta) -> Markup:
        """How long ago, in the largest unit of which there is one."""
        seconds = max(0, int(age.total_seconds()))
        for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
            if seconds >= size:
                return self.count(f"ago.{unit}", seconds // size)
        return self._tongue.say("ago.now")

    def count(self, name: str, number: int) -> Markup:
        return self._tongue.count(name, number, self.number(number))

    def said(self, row: Mapping[str, Any], *names: str) -> Markup:
        """The first of these texts of a row that is there, in the page's language, else marked as of another one."""
        for lang in self._order:
            for name in names:
                if text := row.get(f"{name}_{lang}"):
                    return foreign(text, None if lang == self._lang else lang)
        return Markup("—")

    def value(self, value: Any, field: str = "") -> Markup:
        """A value of a record or of the history."""
        if value is None or value == "" or value == []:
            return Markup("—")
        if isinstance(value, bool):
            return self._tongue.say("value.yes" if value else "value.no")
        if isinstance(value, int | float):
            return escape(str(value))  # an id, a year, a chapter: no quantity
        if isinstance(value, str):
            if field.endswith("_on") or field in ("date", "day"):
                return self.day(value)
            if field.endswith("_at"):
                return self.instant(value)
            if field.startswith(("summary_", "notes_")):
                value = " ".join(Markup(cleaned(value)).striptags().split())
            return foreign(shortened(self._tongue.named(_CODES.get(field, field), value), _SHOWN))
        if isinstance(value, Mapping) and all(not isinstance(one, Mapping | list) for one in value.values()):
            told = ((name, one) for name, one in value.items() if self._is_told(name))
            return Markup("; ").join(
                Markup("{}{}{}").format(self.field(name), self.colon, self.value(one, name)) for name, one in told
            )
        if field == "flags" and isinstance(value, list):
            return Markup(", ").join(foreign(self._tongue.named("flag", one)) for one in value)
        if isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
            return self.count("value.entries", len(value))
        return foreign(shortened(json.dumps(value, ensure_ascii=False), _SHOWN))

    def _is_told(self, name: str) -> bool:
        """Whether a person wants to know that part of a value: no number, no address, no other language."""
        others = tuple(f"_{lang}" for lang in LANGUAGES if lang != self._lang)
        return not name.endswith((*others, "_id")) and "url" not in name

    def field(self, name: str) -> str:
        """What a field is called: of a stage, the chamber's name with it."""
        if name.startswith("stages."):
            *chamber, stage = [part for part in name.split(".")[1:] if not part.isdigit()]
            told = self._tongue.named("stage", stage)
            return f"{told} ({self._tongue.named('chamber', chamber[0])})" if chamber else told
        return self._tongue.named("field", self._own(name)) if self.knows(name) else name.replace("_", " ")

    def knows(self, field: str) -> bool:
        """Whether a field has a name in words."""
        return field.startswith("stages.") or self._tongue.has(f"field.{self._own(field)}")

    def _own(self, field: str) -> str:
        return field.partition(".")[0].removesuffix("_en").removesuffix("_fr")


def _time(when: str, told: str) -> Markup:
    return Markup(f'<time datetime="{when}">{told}</time>')


def foreign(text: str, lang: str | None = None) -> Markup:
    """Text of a source, which may run either way and holds nothing that is not text."""
    told = f' lang="{lang}"' if lang else ""
    return Markup(f"<bdi{told}>{escape(text)}</bdi>")


def web(url: str) -> str:
    """An address of a source, where it is one of the web; else none."""
    return url if url.startswith(("https://", "http://")) else ""


def cleaned(summary: str) -> str:
    """A summary's HTML with the markup that is allowed, and nothing else."""
    return nh3.clean(summary, tags=_TAGS, attributes={"a": {"href"}}, url_schemes={"http", "https"})


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
