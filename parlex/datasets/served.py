"""What a dataset declares to be served: its list, what stands of one record, and the lists below it.

The routes, the CSV, the feeds, GraphQL and the documents follow from a declaration. It knows SQL and no web framework.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    DateTime,
    FromClause,
    Integer,
    SmallInteger,
    SQLColumnExpression,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import REGCONFIG
from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.db.models import Base

Expression = SQLColumnExpression[Any]
SESSION = r"^[1-9]\d{0,2}-[1-9]\d?$"  # how a session is written
CHECKED = "last_checked_at"  # not of a body: it moves without a line in the history, which a tag is made of


class Words(NamedTuple):
    """The same in both languages of Parliament; a language is called by the field's name."""

    en: str
    fr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A parameter of a list. ``where`` is the condition for a bound value; with ``several``, for an array of them.

    ``example`` is a value that the sources have. ``covers``: the other datasets that the condition asks. ``then``: the
    condition on a record as it was, where its fields have a history: it is handed what says the value that a column
    had.
    """

    type: type = str
    help: str
    where: Callable[[Any], Expression]
    several: bool = False
    required: bool = False
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    example: Any = None
    covers: tuple[str, ...] = ()
    then: Callable[[Any, Callable[[Any], Expression]], Expression] | None = None


@dataclass(frozen=True, slots=True)
class Sort:
    """An order: expressions of int or text without nulls, the last of them unique among the rows; all one way."""

    columns: tuple[Expression, ...]
    descending: bool = False

    @property
    def reversed(self) -> Sort:
        return Sort(self.columns, not self.descending)


@dataclass(frozen=True, slots=True)
class Cover:
    """Whose history a body is covered by: a dataset, a scope of it, or one key of it. See serving/tags.py."""

    dataset: str
    scope: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Include:
    """More of each row, where it is asked for: ``column`` is JSON, or a plain column. ``covers``: the other datasets
    that it tells of. ``key``: where it is one record of another dataset, the key of that, so that one can go on."""

    column: Expression
    type: Any
    help: str
    covers: tuple[str, ...] = ()
    key: Expression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A list. ``record`` names its fields, in their order; ``columns`` says where one is not the column of its name.

    ``scope``: the filter that keeps to one scope of the dataset. ``covers``: further datasets whose history its rows
    tell of. ``parent``: the condition that keeps a list below a record to that record, given its key.
    """

    name: str
    help: str
    dataset: str
    record: type[Record]
    source: FromClause
    fields: Mapping[str, Expression]
    sorts: Mapping[str, Sort]
    filters: Mapping[str, Filter] = field(default_factory=dict)
    includes: Mapping[str, Include] = field(default_factory=dict)
    scope: str | None = None
    covers: tuple[str, ...] = ()
    parent: Callable[[Any], Expression] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a function tells of one record, as ``/lineage``: it is given a session and the record's key."""

    help: str
    type: Any
    read: Callable[[Session, str], Any]
    covers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a function tells of a whole scope, as ``/disagreements``: rows of ``record``."""

    help: str
    record: type[Record]
    read: Callable[[Session, Any, str], Iterable[Record]]  # a session, the dataset, the scope


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search finds a record by. ``vectors``: by language, a tsvector and the configuration that it was made
    with, of what ``parlex_words`` made of the texts. ``titles``: by language, what the record is called."""

    vectors: Mapping[str, tuple[Expression, str]]
    titles: Mapping[str, Expression]

    def found(self, question: Expression) -> Expression:
        """Whether all words of a question are there, in the language that ``lang`` asks for, else in any one."""
        return or_(*(_among(lang, vector.op("@@")(asked)) for lang, vector, asked in self._asked(question)))

    def rank(self, question: Expression) -> Expression:
        """How well, as a whole number: a float would not come back from a cursor as it was."""
        ranks = (
            case((_among(lang, true()), func.ts_rank(vector, asked)), else_=0.0)
            for lang, vector, asked in self._asked(question)
        )
        return cast(func.greatest(*ranks) * 1_000_000, Integer)

    @property
    def title(self) -> Expression:
        """In the language that is asked for, else in the first one."""
        first, *others = self.titles
        chosen = [(_asked_lang == lang, self.titles[lang]) for lang in others]
        return case(*chosen, else_=self.titles[first]) if chosen else self.titles[first]

    def filters(self) -> dict[str, Filter]:
        words = "words that are all in it, whatever their accents and case; the number of a bill is one, like C-2"
        return {
            "q": Filter(help=words, where=self.found, example="budget"),
            "lang": Filter(help="the language of the words; both without it", where=_asked_by_q, choices=LANGUAGES),
        }

    def _asked(self, question: Expression) -> list[tuple[str, Expression, Expression]]:
        return [
            (lang, vector, func.plainto_tsquery(cast(named, REGCONFIG), func.parlex_words(question)))
            for lang, (vector, named) in self.vectors.items()
        ]


def _asked_by_q(value: Expression) -> Expression:
    """What ``lang`` asks for, the other filter asks."""
    return true()


def _among(lang: str, condition: Expression) -> Expression:
    return and_(or_(_asked_lang.is_(None), _asked_lang == lang), condition)


LANGUAGES = ("en", "fr")
_asked_lang: Any = bindparam("f_lang", None, type_=Text())  # the value of the filter ``lang``, if there is one


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """``one`` is what a single one is called in addresses, ``called`` what all are called in titles. ``path`` names the
    parts of a key, ``{session}/{number}``; ``key`` makes it of them, ValueError where they make none. ``identity`` is
    the column of the whole key. ``detail`` is what one record has beyond its line in the list. ``past``: the record as
    it stood at a moment; None where it was not known yet. ``searched``: what a search finds it by. ``beside``: further
    lists of the dataset, of which no row has a key of its own."""

    one: str
    called: Words
    list: Collection
    path: str
    key: Callable[[Mapping[str, str]], str]
    example: Mapping[str, str]
    identity: Expression
    detail: Mapping[str, Include]
    below: Sequence[Collection] = ()
    beside: Sequence[Collection] = ()
    told: Mapping[str, Told] = field(default_factory=dict)
    past: Callable[[Session, str, datetime], Record | None] | None = None
    searched: Searched | None = None
    surveys: Mapping[str, Survey] = field(default_factory=dict)


def answers(record: type[Record], table: Any, **others: Expression) -> dict[str, Expression]:
    """The fields of a list's rows: the columns of ``table`` that the fields of ``record`` are named after, but for
    ``others``; without the time of the last look."""
    names = [each.name for each in fields(record) if each.name != CHECKED]  # type: ignore[arg-type]
    return {name: others[name] if name in others else getattr(table, name) for name in names}


def instant(column: Expression) -> Expression:
    """An instant as :func:`parlex.answers.as_json` spells it."""
    return func.to_char(func.timezone("UTC", column), 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')


def nested(columns: Mapping[str, Expression], source: Any, *where: Expression, of: type[Base]) -> Any:
    """The SELECT of rows that belong to a row ``of`` a table, for :func:`many` or :func:`one`."""
    rows: Any = (
        select(*(spelled(column).label(name) for name, column in columns.items())).select_from(source).where(*where)
    )
    return rows.correlate(of.__table__)


def spelled(column: Expression) -> Expression:
    """A column as it is to be in JSON: its instants as everywhere."""
    return instant(column) if isinstance(getattr(column, "type", None), DateTime) else column


def many(rows: Any) -> Expression:
    """A JSON array of the rows of a SELECT, in its order."""
    each = rows.subquery()
    made = func.coalesce(func.json_agg(func.row_to_json(each.table_valued())), literal_column("'[]'::json"))
    return select(made).select_from(each).scalar_subquery()


def one(rows: Any) -> Expression:
    """The first row of a SELECT as a JSON object; null where there is none."""
    each = rows.limit(1).subquery()
    return select(func.row_to_json(each.table_valued())).select_from(each).scalar_subquery()


def by_day(column: Expression) -> Expression:
    """A day to sort by; what has none comes first."""
    return func.coalesce(cast(column, Text), "")


def contains(column: Expression) -> Callable[[Any], Expression]:
    """Whether a column holds a text, whatever its case."""
    return lambda value: func.strpos(func.lower(column), func.lower(value)) > 0


def session_filter(table: Any) -> Filter:
    """Those of one session; ``table`` has the parliament and the session in columns of their own."""
    return Filter(
        help="the session, like 45-1",
        where=lambda value: and_(
            table.parliament == cast(func.split_part(value, "-", 1), SmallInteger),
            table.session == cast(func.split_part(value, "-", 2), SmallInteger),
        ),
        pattern=SESSION,
    )


def withdrawn_filter(table: Any) -> Filter:
    return Filter(
        type=bool,
        help="only what has left its source's list, or only what has not",
        where=lambda value: table.withdrawn == value,
    )
