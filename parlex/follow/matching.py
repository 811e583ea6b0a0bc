"""Which lines of the history a subscription is about: one statement for many subscriptions, whatever their filters.

A filter's session and numbers are parts of a line's key. Its other words are filters of the datasets' own lists, asked
of the line's record; status and sponsor as they were right after the line, so that it does not matter when one looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator
from sqlalchemy import Text, and_, any_, cast, column, false, func, literal, literal_column, or_, select, true
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Session, aliased

from parlex.datasets.dataset import Dataset
from parlex.datasets.served import SESSION, Expression
from parlex.db.models import ChangeRow, RunRow, SubscriptionRow, SweepRow
from parlex.errors import UsageError

WINDOW = 20_000  # lines that one look at a subscription goes through at most
BACKFILLS, REPARSED = "backfills", "reparsed"
OF_RECORDS = ("status", "sponsor", "politician", "q")  # each is a filter of the lists of the datasets that have it

_NONE: Expression = literal_column("'{}'::text[]")
_Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
_Texts = Annotated[list[_Text], Field(min_length=1, max_length=500)]


class Filter(BaseModel):
    """What a subscription is about: lines that fit all that is given, or any of the texts of a list."""

    model_config = ConfigDict(extra="forbid", strict=True)

    dataset: _Text | None = Field(None, description="of this dataset")
    session: str | None = Field(None, pattern=SESSION, description="of this session, like 45-1")
    number: _Texts | None = Field(None, description="of these numbers, like C-2")
    status: _Texts | None = Field(None, description="of bills with one of these statuses then")
    sponsor: _Text | None = Field(None, description="of bills of this sponsor then: a slug, or a part of the name")
    politician: _Text | None = Field(None, description="of divisions in which this member has a ballot: a slug")
    q: _Text | None = Field(None, description="of records that have all these words")
    include: list[Literal["backfills", "reparsed"]] | None = Field(
        None, description="also what a session's first fetch brought, or where our reading changed and not the record"
    )

    @field_validator("number", "status", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    def require_known(self, datasets: Mapping[str, Dataset]) -> None:
        """UsageError for a filter that no line can fit."""
        if self.dataset is not None and self.dataset not in datasets:
            raise UsageError(f"filter.dataset: there is no {self.dataset!r}; there is: {', '.join(datasets)}")
        given = [name for name in OF_RECORDS if getattr(self, name) is not None]
        among = [each.served.list.filters for each in datasets.values() if each.served and self._may_be(each.name)]
        if given and not any(filters.keys() >= set(given) for filters in among):
            raise UsageError(f"filter: no dataset that is meant has all of these: {', '.join(given)}")
        choices = {choice for filters in among if "status" in filters for choice in filters["status"].choices}
        if unknown := sorted(set(self.status or ()) - {str(choice) for choice in choices}):
            raise UsageError(f"filter.status: there is no {unknown[0]!r}; there is: {', '.join(sorted(choices))}")

    def _may_be(self, dataset: str) -> bool:
        return self.dataset in (None, dataset)


@dataclass(frozen=True, slots=True)
class Found:
    """``seqs``: the first lines that match after the subscription's cursor. ``looked_to``: none other does up to there,
    unless ``more``."""

    seqs: Sequence[int]
    looked_to: int
    more: bool


def found(
    db: Session, subscriptions: Iterable[UUID], datasets: Mapping[str, Dataset], *, last: int, most: int
) -> Iterator[tuple[UUID, Found]]:
    """What each subscription's filter finds after its cursor, at most ``most`` lines up to the line ``last``."""
    to = func.least(SubscriptionRow.cursor + WINDOW, last)
    wanted = _wanted()
    lines = _lines(wanted, datasets, to).limit(most + 1).lateral("lines")
    seqs = func.array_agg(lines.c.seq).filter(lines.c.seq.is_not(None))
    among = SubscriptionRow.__table__.join(wanted, true()).outerjoin(lines, true())
    query = select(SubscriptionRow.id, to, seqs).select_from(among).group_by(SubscriptionRow.id)
    query = query.where(SubscriptionRow.id.in_(list(subscriptions)))
    for subscription, looked_to, seen in db.execute(query):
        numbers = sorted(seen or ())
        yield subscription, Found(numbers[:most], looked_to, len(numbers) > most)


def _wanted() -> Any:
    """A subscription's filter as columns."""
    columns: list[Any] = [column(name, Text) for name in ("dataset", "session", "sponsor", "politician", "q")]
    columns += [column(name, ARRAY(Text())) for name in ("number", "status", "include")]
    record = func.jsonb_to_record(SubscriptionRow.filter).table_valued(*columns, name="wanted")
    return record.render_derived(with_types=True).lateral()


def _lines(wanted: Any, datasets: Mapping[str, Dataset], to: Any) -> Any:
    given, row = wanted.c, ChangeRow
    included = func.coalesce(given.include, _NONE)
    return (
        select(row.seq)
        .where(
            row.seq > SubscriptionRow.cursor,
            row.seq <= to,
            or_(given.dataset.is_(None), row.dataset == given.dataset),
            or_(given.session.is_(None), func.split_part(row.key, " ", 1) == given.session),
            or_(given.number.is_(None), func.split_part(row.key, " ", 2) == any_(given.number)),
            or_(row.kind != "reparsed", literal(REPARSED) == any_(included)),
            or_(~_of_backfill(), literal(BACKFILLS) == any_(included)),
            or_(
                and_(*(given[name].is_(None) for name in OF_RECORDS)),
                *(_of_record(dataset, wanted) for dataset in datasets.values() if dataset.served),
            ),
        )
        .correlate(SubscriptionRow.__table__, wanted)
        .order_by(row.seq)
    )


def _of_backfill() -> Expression:
    """Whether a line tells of a record that came with a whole session, which the mirror had never held whole before."""
    whole = select(SweepRow.id).where(
        SweepRow.dataset == RunRow.dataset,
        SweepRow.scope == RunRow.scope,
        SweepRow.swept_at < RunRow.started_at,
        SweepRow.held > 0,
        SweepRow.missing == _NONE,
    )
    first = select(RunRow.run_id).where(
        RunRow.run_id == ChangeRow.run_id, RunRow.job.startswith("fetch_session_"), ~whole.exists()
    )
    return and_(ChangeRow.kind == "created", first.exists())


def _of_record(dataset: Dataset, wanted: Any) -> Expression:
    """Whether a line of a dataset is of a record that its list's own filters let through."""
    served, given = dataset.served, wanted.c
    assert served is not None
    conditions = []
    for name in OF_RECORDS:
        one = served.list.filters.get(name)
        fits = false() if one is None else one.then(given[name], _then) if one.then else one.where(given[name])
        conditions.append(or_(given[name].is_(None), fits))
    record = select(served.identity).where(served.identity == ChangeRow.key, *conditions)
    record = record.select_from(served.list.source).correlate(ChangeRow.__table__, wanted)
    return and_(ChangeRow.dataset == dataset.name, record.exists())


def _then(column: Any) -> Expression:
    """What a record had in a column right after a line: what the next line of that field found there, if there is one,
    else what stands."""
    later = aliased(ChangeRow)
    found = select(func.coalesce(later.old, cast("null", JSONB))).where(
        later.dataset == ChangeRow.dataset,
        later.key == ChangeRow.key,
        later.field == column.name,
        later.seq > ChangeRow.seq,
    )
    old = found.order_by(later.seq).limit(1).correlate(ChangeRow.__table__).scalar_subquery()
    return func.coalesce(old, func.to_jsonb(column)).op("#>>")(_NONE)
