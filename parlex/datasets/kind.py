"""What a kind of thing brings to be a dataset: its names, how its sources are asked and read, and its rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from parlex.answers import Record as Answer
from parlex.datasets.record import Record
from parlex.datasets.served import Served, Words
from parlex.db.models import Base
from parlex.fetching.document import Document
from parlex.mirror import lists
from parlex.mirror.documents import Fetched, Held
from parlex.mirror.listings import Line
from parlex.mirror.lists import Listed, Row
from parlex.parliament import SessionId
from parlex.runs.work import Asking, Request

CURRENT = "current"  # the key of a list's document where nobody knows yet which scope it is of


@dataclass(frozen=True, slots=True)
class Flagged(Answer):
    """A record that breaks a rule of its kind, mirrored as the source says."""

    key: str
    flags: tuple[str, ...]


class Kind(ABC):
    """What a kind of thing brings; :class:`parlex.datasets.dataset.Dataset` does all that is the same for all kinds."""

    # What it is called.
    name: ClassVar[str]
    one: ClassVar[str]  # a single one of it, in words
    source: ClassVar[str]  # as the log names it: the source that decides first, then its companions

    # Its sources. A source may be a second document of the same site: then it has a name of its own.
    list_source: ClassVar[str]  # whose list decides what there is
    companion_lists: ClassVar[tuple[str, ...]] = ()  # those that list it too, later and not in full
    sources: ClassVar[tuple[str, ...]]  # whose details are asked for, those that decide first
    decides: ClassVar[frozenset[str]]  # the sources without whose word, of each, there is nothing to save
    paged: ClassVar[frozenset[str]] = frozenset()  # the sources whose list comes in several pages
    field_sources: ClassVar[Mapping[str, str]] = {}  # whose word a fact or a part is, where not ``list_source``'s
    derived: ClassVar[tuple[str, ...]] = ()  # facts that are our own remark, and no word of a source
    reading: ClassVar[int] = 1  # one more whenever its documents are read for more: what stands is then read again

    # How it is listed and fetched.
    by_session: ClassVar[bool]  # whether its lists are of one session each, so that a request may name one
    first_session: ClassVar[SessionId | None] = None  # the sources have none before
    usual_limit: ClassVar[int | None] = None  # keys of a fetch of the latest, where the caller names no limit
    listed_every: ClassVar[timedelta] = timedelta(hours=1)  # by the schedule
    rates: Mapping[str, float]  # the budget of each of its sites, in requests a minute; 0 or no line where it has none
    requests_a_minute: float  # the slowest of these; 0 without one

    # What guards watch: facts that do not go blank for most records at once.
    list_guarded: ClassVar[tuple[str, ...]]
    guarded: ClassVar[tuple[str, ...]]

    # Its rows, and what people read of them.
    table: ClassVar[type[Base]]
    key_column: ClassVar[str] = "key"  # of ``table``: it holds the key as text
    tables: ClassVar[tuple[type[Base], ...]]  # all that an export holds of it
    searched: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # the columns of its tables that a full-text search covers
    served: ClassVar[Served | None] = None  # how it is served by HTTP; not at all with None
    told_fields: ClassVar[Mapping[str, Words]] = {}  # the fields whose change is news, and a heading for it

    # What a kind brings: its sources.

    @abstractmethod
    def lists(self, request: Request, asking: Asking) -> Sequence[Fetched]:
        """The documents of the deciding list; the key of the first one is its scope, or ``CURRENT``."""

    @abstractmethod
    def read_list(self, source: str, found: Sequence[Fetched]) -> Listed:
        """One source's list. DocumentError for a document that is none."""

    @abstractmethod
    def ask(self, key: str, source: str, held: Held | None, asking: Asking) -> Document | None: ...

    @abstractmethod
    def parse(self, key: str, source: str, document: Document) -> Any:
        """What one document says. DocumentError for what cannot be read.

        Its ``odd``, if it has one, names parts that could not be read and are left out.
        """

    @abstractmethod
    def record(self, key: str, parsed: Mapping[str, Any]) -> Record:
        """The record, of what each source says; the deciding sources are all there."""

    # What a kind brings: its rows.

    @abstractmethod
    def identity(self, key: str) -> dict[str, Any]:
        """The columns of ``table`` that are its primary key."""

    @abstractmethod
    def held(self, db: Session, keys: Iterable[str]) -> dict[str, Record]:
        """What the tables say of those of ``keys`` that they hold."""

    @abstractmethod
    def in_scope(self, scope: str) -> Sequence[ColumnElement[bool]]:
        """The rows of ``table`` that the list of a scope speaks of."""

    @abstractmethod
    def write_parts(self, db: Session, records: Sequence[Record], held: Mapping[str, Record]) -> None:
        """Write the parts of records whose rows were just written; each is new or differs from what is held."""

    # What a kind may say otherwise.

    def scope_of(self, key: str) -> str:
        return key.partition(" ")[0]

    def site_of(self, source: str) -> str:
        """Whose budget a request to a source is of: see ``rates``."""
        return source

    def rank(self, key: str) -> Any:
        """Sort order of a list."""
        return key

    def has(self, source: str, scope: str) -> bool:
        """Whether a source can have anything of a scope at all."""
        return True

    def may_be_empty(self, db: Session, scope: str) -> bool:
        """Whether an empty list is to be believed of a scope whose list was never had."""
        return False

    def line(self, row: Row) -> Line:
        return lists.line(row)

    def complement(self, db: Session, records: Mapping[str, Record]) -> None:  # noqa: B027  most have nothing to add
        """Fill in what the documents do not say and the mirror knows."""

    def derive(self, record: Record) -> Record:
        """The record with its ``derived`` facts, by what was believed of it."""
        return record

    def unfinished(self, db: Session, parsed: Mapping[str, Mapping[str, Any]]) -> set[str]:
        """The keys of which a source has not said all there is to say yet: they are asked for again in a day."""
        return set()

    def origin(self, field: str, parsed: Mapping[str, Any]) -> str:
        """The source whose word a field of the record is."""
        return self.decider(field)

    def told_part(self, name: str, part: Mapping[str, Any]) -> Any:
        """A part as a person is told of it: a list of its entries, each with its key."""
        return [
            {"key": key, **(entry if isinstance(entry, Mapping) else {"value": entry})} for key, entry in part.items()
        ]

    def flagged(self, db: Session, scope: str) -> tuple[Flagged, ...]:
        """The records of a scope that break a rule of their kind."""
        return ()

    def titles(self, db: Session, keys: Iterable[str], lang: str = "en") -> dict[str, str]:
        """How a person knows those of ``keys`` that are held; ``lang`` is a field of Words."""
        return {}

    # Names.

    def decider(self, field: str) -> str:
        """The source that decides a field; a part's field is ``stages.house.committee``."""
        return self.field_sources.get(field.partition(".")[0], self.list_source)

    @property
    def key(self) -> Any:
        """The column that holds the key as text."""
        return getattr(self.table, self.key_column)

    @property
    def withdrawn(self) -> Any:
        """The column that marks what has left its list."""
        return getattr(self.table, "withdrawn")  # noqa: B009  each table of a dataset has it

    @property
    def first_seen_at(self) -> Any:
        """The column that tells when the mirror first had a record."""
        return getattr(self.table, "first_seen_at")  # noqa: B009  each table of a dataset has it

    @property
    def accountable(self) -> tuple[str, ...]:
        """The sources whose quarantine makes a copy incomplete."""
        return tuple(source for source in self.sources if source in self.decides)

    def rank_of_scope(self, scope: str) -> Any:
        return SessionId.parse(scope) if self.by_session else scope
