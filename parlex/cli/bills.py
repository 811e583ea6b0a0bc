"""The commands about bills: which there are, and everything that is known of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parlex.answers import counted
from parlex.cli.frame import (
    BILLS,
    LOOK,
    Commands,
    Json,
    Limit,
    SessionArgument,
    SessionOption,
    command,
    looking,
    note,
    print_json,
    print_records,
)
from parlex.errors import ParlexError, UsageError
from parlex.parliament import BillKey, moment_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from parlex.datasets.bills.reads import BillStory
    from parlex.datasets.dataset import Dataset

commands = typer.Typer(cls=Commands)
EVENTS_SHOWN = 8


@command(commands, LOOK)
def bills(
    session: SessionOption = None,
    status: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only those with this status, like HouseInCommittee.")
    ] = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """List the bills that are held, of one session or of all.

    Example: parlex bills --session 45-1 --status HouseInCommittee
    """
    from parlex.cli.tables import bills as tables
    from parlex.cli.tables import layout
    from parlex.datasets.bills import reads as bill_reads
    from parlex.datasets.bills.bill import StatusCode
    from parlex.datasets.scopes import to_fetch

    if status is not None and status not in list(StatusCode):
        raise UsageError(f"{status!r} is not a status; known: {', '.join(StatusCode)}")
    with looking() as resources, resources.db() as db:
        found = bill_reads.bills(db, session, status=status, limit=limit)
        if as_json:
            print_records(found)
            return
        rows = list(found)
        any_held = rows or list(bill_reads.bills(db, session, limit=1))
        advice = to_fetch(db, resources.datasets[BILLS], session)
    if rows:
        layout.console().print(tables.bills(rows))
        note(counted(len(rows), "bill"))
    elif any_held:
        note("no bill that is held matches")
    else:
        note(f"no such bills are held; {advice}")


@command(commands, LOOK)
def bill(
    session: SessionArgument,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="The bill's number, like C-2 or S-203.")],
    as_of: Annotated[
        str | None,
        typer.Option(metavar="MOMENT", help="Show it as it was known then: on a day (in Ottawa), or at an instant."),
    ] = None,
    provenance: Annotated[bool, typer.Option("--provenance", help="Show where each field has its value.")] = False,
    lineage: Annotated[bool, typer.Option("--lineage", help="Show its whole life over prorogations.")] = False,
    whole: Annotated[bool, typer.Option("--whole", help="Show all that happened to it, and the links.")] = False,
    as_json: Json = False,
) -> None:
    """Show one bill: what is known of it, its stages and the time in each, what happened last, its texts, its history.

    --json has all of it.

    Example: parlex bill 45-1 C-2 --lineage

    Example: parlex bill 45-1 C-2 --as-of 2026-03-01
    """
    try:
        key = BillKey(session, number.upper())
    except ValueError as error:
        raise UsageError(str(error)) from None
    if as_of is not None and (provenance or lineage):
        raise UsageError("--provenance and --lineage tell of today; leave --as-of out")
    moment = moment_of(as_of) if as_of is not None else None
    with looking() as resources, resources.db() as db:
        answer = _bill(db, resources.datasets[BILLS], key, moment, provenance=provenance, lineage=lineage)
        if as_json:
            print_json(answer.as_json())
        else:
            _show(db, answer, moment, whole=whole)


class _Answer:
    """A bill with what was asked for beside it."""

    def __init__(self, story: BillStory, moment: datetime | None) -> None:
        self.story = story
        self.moment = moment
        self.inherited: Any = None
        self.times: Sequence[Any] = ()
        self.provenance: Sequence[Any] | None = None
        self.lineage: Any = None
        self.sponsor: Any = None
        self.divisions: Sequence[Any] = ()

    def as_json(self) -> dict[str, Any]:
        from parlex.answers import as_json

        asked = {"as_of": self.moment} if self.moment else {}
        told = asked | {"introduced_inherited_on": self.inherited}
        answer = self.story.as_json() | {name: as_json(value) for name, value in told.items()}
        answer["sponsor"] = self.sponsor.as_json() if self.sponsor else None
        answer["divisions"] = [division.as_json() for division in self.divisions]
        answer["time_in_stage"] = [{n: as_json(v) for n, v in asdict(span).items()} for span in self.times]
        if self.provenance is not None:
            answer["provenance"] = [origin.as_json() for origin in self.provenance]
        if self.lineage is not None:
            answer["lineage"] = self.lineage.as_json()
        return answer


def _bill(
    db: Session, dataset: Dataset, key: BillKey, moment: datetime | None, *, provenance: bool, lineage: bool
) -> _Answer:
    from parlex.datasets import provenance as origins
    from parlex.datasets.bills import lineage as lines
    from parlex.datasets.bills import past
    from parlex.datasets.bills import reads as bill_reads
    from parlex.datasets.politicians import reads as politician_reads
    from parlex.datasets.votes import reads as vote_reads

    now = bill_reads.bill(db, key)
    if now is None:
        raise _not_held(db, dataset, key)
    story = past.as_of(db, key, moment) if moment else now
    if story is None:
        seen = now.bill.first_seen_at.astimezone(UTC).isoformat(timespec="seconds")
        raise ParlexError(f"the mirror did not know {key} then: it first saw it at {seen}")
    answer = _Answer(story, moment)
    answer.sponsor = politician_reads.sponsor(db, key)
    answer.divisions = list(vote_reads.votes(db, bill=key))
    answer.inherited = None if moment else lines.introduced_inherited_on(db, key)
    answer.times = past.times_in_stage(db, story, moment or datetime.now(UTC))
    answer.provenance = origins.provenance(db, dataset, str(key)) if provenance else None
    answer.lineage = lines.lineage(db, key) if lineage else None
    return answer


def _not_held(db: Session, dataset: Dataset, key: BillKey) -> UsageError:
    """Fetching is advised only where it may help: not before the first session, nor where the list has no such bill."""
    from parlex.datasets import verify
    from parlex.datasets.scopes import to_fetch

    if str(key.session) in dataset.scopes(db):
        (held,) = verify.verify(db, dataset, [str(key.session)])
        if held.swept_at is not None and str(key) not in held.missing:
            return UsageError(f"session {key.session} is held, and has no bill {key.number}")
    return UsageError(f"the mirror does not hold {key}; {to_fetch(db, dataset, key.session)}")


def _show(db: Session, answer: _Answer, moment: datetime | None, *, whole: bool) -> None:
    from parlex.cli.tables import bills as tables
    from parlex.cli.tables import layout, mirror
    from parlex.cli.tables import votes as vote_tables

    console = layout.console()
    console.print(tables.bill(answer.story, answer.inherited))
    console.print(tables.stages(answer.story.stages))
    if answer.times:
        console.print(tables.times(answer.times))
    if answer.story.events:
        console.print(tables.events(answer.story.events, None if whole else EVENTS_SHOWN))
    if answer.story.publications:
        console.print(tables.publications(answer.story.publications))
    if answer.story.links and whole:
        console.print(tables.links(answer.story.links))
    if answer.divisions:
        console.print(vote_tables.votes(answer.divisions, title="Divisions"))
    if answer.provenance is not None:
        console.print(tables.provenance(answer.provenance))
    for table in tables.lineage(answer.lineage) if answer.lineage else ():
        console.print(table)
    from parlex.mirror import history

    key = str(answer.story.bill.key)
    found = history.changes(db, dataset=BILLS, key=key)
    changes = [change for change in found if moment is None or change.observed_at <= moment]
    console.print(mirror.changes(changes, title="History"))
    if answer.story.summary_en:
        console.print(tables.summary(answer.story.summary_en))
