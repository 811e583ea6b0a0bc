"""The commands about one bill's past and about the mirror itself: is it complete, what is in doubt, what can be redone.

Part of ``cli``, which imports this file at its end; the same rules hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parlex.cli import house
from parlex.cli.app import (
    SHOWN,
    DatasetOption,
    Json,
    Limit,
    SessionArgument,
    SessionOption,
    _note,
    _print_json,
    _print_records,
    _reading,
    _session,
    _settings,
    _to_fetch,
    _working,
    app,
)
from parlex.errors import ParlexError, UsageError
from parlex.parliament import BillKey, SessionId

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from parlex.datasets.bills.reads import BillStory
    from parlex.datasets.verify import Completeness, Sample

quarantine_app = typer.Typer(help="What was not believed, and a person's word on it.", no_args_is_help=True)
app.add_typer(quarantine_app, name="quarantine")

Sessions = Annotated[
    list[SessionId] | None, typer.Argument(parser=_session, metavar="[SESSION...]", help="As 44-1 45-1; else all held.")
]
Number = Annotated[int, typer.Argument(min=1, metavar="ID", help="As parlex quarantine list shows it.")]
Numbers = Annotated[list[int], typer.Argument(min=1, metavar="ID...", help="As parlex quarantine list shows them.")]


# One bill.


@app.command()
def bill(
    session: SessionArgument,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="As C-2 or S-203.")],
    as_of: Annotated[
        str | None, typer.Option(metavar="MOMENT", help="As it was known then: 2026-03-01 (Ottawa), or an instant.")
    ] = None,
    provenance: Annotated[bool, typer.Option("--provenance", help="Where each field has its value.")] = False,
    lineage: Annotated[bool, typer.Option("--lineage", help="Its whole life over prorogations.")] = False,
    as_json: Json = False,
) -> None:
    """Show one bill: what is known of it, its stages and the time in each, its history."""
    from parlex.datasets.bills import past

    try:
        key = BillKey(session, number.upper())
    except ValueError as error:
        raise UsageError(str(error)) from None
    if as_of is not None and (provenance or lineage):
        raise UsageError("--provenance and --lineage tell of today; leave --as-of out")
    moment = past.moment_of(as_of) if as_of is not None else None
    with _reading() as db:
        answer = _bill(db, key, moment, provenance=provenance, lineage=lineage)
        if as_json:
            _print_json(answer.as_json())
        else:
            _show(db, answer, moment)


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


def _bill(db: Session, key: BillKey, moment: datetime | None, *, provenance: bool, lineage: bool) -> _Answer:
    from parlex.datasets.bills import lineage as lines
    from parlex.datasets.bills import past
    from parlex.datasets.bills import reads as bill_reads
    from parlex.datasets.politicians import reads as politician_reads
    from parlex.datasets.votes import reads as vote_reads

    now = bill_reads.bill(db, key)
    if now is None:
        raise _not_held(db, key)
    story = past.as_of(db, key, moment) if moment else now
    if story is None:
        seen = now.bill.first_seen_at.astimezone(UTC).isoformat(timespec="seconds")
        raise ParlexError(f"the mirror did not know {key} then: it first saw it at {seen}")
    answer = _Answer(story, moment)
    answer.sponsor = politician_reads.sponsor(db, key)
    answer.divisions = list(vote_reads.votes(db, bill=key))
    answer.inherited = None if moment else lines.introduced_inherited_on(db, key)
    answer.times = past.times_in_stage(db, story, moment or datetime.now(UTC))
    answer.provenance = past.provenance(db, key) if provenance else None
    answer.lineage = lines.lineage(db, key) if lineage else None
    return answer


def _not_held(db: Session, key: BillKey) -> UsageError:
    """Fetching is advised only where it may help: not before the first session, nor where the list has no such bill."""
    from parlex.datasets import verify

    if key.session in verify.known_sessions(db):
        (held,) = verify.verify(db, [key.session])
        if held.swept_at is not None and str(key) not in held.missing:
            return UsageError(f"session {key.session} is held, and has no bill {key.number}")
    return UsageError(f"the mirror does not hold {key}; {_to_fetch(key.session)}")


def _show(db: Session, answer: _Answer, moment: datetime | None) -> None:
    from parlex.cli import tables, tables_house

    console = tables.console()
    console.print(tables.bill(answer.story, answer.inherited))
    console.print(tables.stages(answer.story.stages))
    if answer.times:
        console.print(tables.times(answer.times))
    if answer.divisions:
        console.print(tables_house.votes(answer.divisions, title="Divisions"))
    if answer.provenance is not None:
        console.print(tables.provenance(answer.provenance))
    for table in tables.lineage(answer.lineage) if answer.lineage else ():
        console.print(table)
    from parlex.mirror import history

    changes = [c for c in history.changes(db, key=answer.story.bill.key) if moment is None or c.observed_at <= moment]
    console.print(tables.changes(changes, title="History"))
    if answer.story.summary_en:
        console.print(tables.summary(answer.story.summary_en))


# The mirror.


@app.command()
def verify(
    sessions: Sessions = None,
    deep: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Also ask for N bills again, drawn at random, and compare.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Draw the same bills as another time.")] = None,
    dataset: DatasetOption = "bills",
    as_json: Json = False,
) -> None:
    """Judge whether the copy is complete, session by session. Exits 1 when one is not."""
    from parlex.datasets import verify

    if dataset != "bills":
        return house.verify_records(dataset, sessions or [], deep=deep is not None, as_json=as_json)
    chosen = sessions or []
    sample: Sample | None = None
    if deep is None:
        with _reading() as db:
            found = list(verify.verify(db, chosen))
    else:
        settings = _settings()
        settings.require_contact()
        with _working(settings) as resources:
            with resources.db() as db:
                found = list(verify.verify(db, chosen))
            sample = verify.sample(resources, deep, chosen, seed=seed)
    _print_verified(found, sample, as_json=as_json)
    whole = all(one.complete for one in found) and (sample is None or sample.clean)
    raise typer.Exit(0 if found and whole else 1)


def _print_verified(found: Sequence[Completeness], sample: Sample | None, *, as_json: bool) -> None:
    from parlex.cli import tables

    if as_json:
        for one in found:
            _print_json(one.as_json() | {"deep": sample.of(one.session).as_json() if sample else None})
        return
    console = tables.console()
    console.print(tables.completeness(found))
    findings = tables.findings(found)
    if findings.row_count:
        console.print(findings)
    if sample is not None:
        console.print(tables.sample(sample))
    wanting = sum(not one.complete for one in found)
    _note(
        f"{len(found)} sessions, {wanting or 'none'} incomplete" if found else "nothing is held: parlex backfill 45-1"
    )


@app.command()
def disagreements(
    session: SessionOption = None,
    lag: Annotated[bool, typer.Option("--lag", help="Only how long OpenParliament comes after LEGISinfo.")] = False,
    as_json: Json = False,
) -> None:
    """Show where the two sources differ, with both values, and how long OpenParliament comes after LEGISinfo."""
    from parlex.cli import tables
    from parlex.datasets.bills import disagreements as between

    with _reading() as db:
        if as_json:
            _print_records(between.lags(db, session) if lag else between.disagreements(db, session))
            return
        rows = [] if lag else list(between.disagreements(db, session))
        lags = between.lags(db, session)
    console = tables.console()
    if rows:
        console.print(tables.disagreements(rows))
    if lags:
        console.print(tables.lags(lags))
    if not lag:
        _note(f"{len(rows)} disagreements")


@app.command()
def replay(
    session: SessionOption = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="MOMENT", help="Only bills with a document fetched since a day (Ottawa), or an instant."),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Make the differences, as reparsed changes.")] = False,
    dataset: DatasetOption = "bills",
    as_json: Json = False,
) -> None:
    """Read the archived documents again with today's code, offline, and show what rows would differ."""
    from parlex.cli import tables
    from parlex.datasets import replay as again
    from parlex.datasets.bills import past

    if dataset != "bills":
        return house.replay_records(dataset, session, since is not None, apply=apply, as_json=as_json)
    start = past.start_of(since) if since is not None else None
    rows: list[again.Difference] = []
    bills, errors = 0, 0
    with _working(_settings()) as resources:
        for part in again.replay(resources, session=session, since=start, apply=apply):
            bills += part.bills
            errors += len(part.errors)
            for error in part.errors:
                _note(error)
            if as_json:
                _print_records(part.differences)
            else:
                rows += part.differences
    if rows:
        tables.console().print(tables.differences(rows))
    if not as_json:
        done = "made" if apply else "would be made (parlex replay --apply makes them)"
        _note(
            f"{bills} bills read again, {len(rows)} changes {done}" if rows else f"{bills} bills read again, no change"
        )
    raise typer.Exit(1 if errors else 0)


@app.command()
def archive() -> None:
    """Write the documents that the archive (PARLEX_ARCHIVE_URL) does not have yet."""
    from parlex.errors import ConfigurationError
    from parlex.watch import upkeep

    settings = _settings()
    if settings.archive_url is None:
        raise ConfigurationError("PARLEX_ARCHIVE_URL is not set: name a folder or s3://bucket/prefix")
    with _working(settings) as resources:
        written = upkeep.archive(resources)
    _note(f"{written} documents written")


# The quarantine.


@quarantine_app.command("list")
def quarantine_list(
    session: SessionOption = None,
    state: Annotated[str, typer.Option(help="open, approved, rejected, resolved, or all.")] = "open",
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """List what is in quarantine, newest first."""
    from parlex.cli import tables
    from parlex.datasets import verdicts

    wanted = None if state == "all" else state
    with _reading() as db:
        most = limit if limit or as_json else SHOWN + 1
        found = list(verdicts.entries(db, state=wanted, session=session, limit=most))
    if as_json:
        _print_records(found)
        return
    shown = found if limit else found[:SHOWN]
    if shown:
        tables.console().print(tables.quarantine(shown))
    more = len(found) > len(shown)
    _note(f"the newest {SHOWN}; more: parlex quarantine list --limit N" if more else f"{len(shown)} {state} entries")


@quarantine_app.command("show")
def quarantine_show(number: Number, as_json: Json = False) -> None:
    """Show one entry in full: what is held, what was offered, where it came from."""
    from parlex.cli import tables
    from parlex.datasets import verdicts

    with _reading() as db:
        found = verdicts.entry(db, number)
    if as_json:
        _print_json(found.as_json())
    else:
        tables.console().print(tables.parked(found))


@quarantine_app.command("approve")
def quarantine_approve(numbers: Numbers, as_json: Json = False) -> None:
    """Believe the source after all: a blank field at once, a list when it next comes. All of the entries, or none."""
    from parlex.cli import tables
    from parlex.datasets import verdicts

    now = datetime.now(UTC)
    with _reading() as db:
        changed = {number: verdicts.approve(db, number, now=now) for number in numbers}
        found = {number: verdicts.entry(db, number) for number in numbers}
        db.commit()
    if as_json:
        for number, entry in found.items():
            _print_json(entry.as_json() | {"changed": [item.as_json() for item in changed[number]]})
        return
    if rows := [item for items in changed.values() for item in items]:
        tables.console().print(tables.differences(rows))
    for number, entry in found.items():
        _note(f"{number} approved" + (": the next list is believed in spite of it" if entry.kind == "sweep" else ""))


@quarantine_app.command("reject")
def quarantine_reject(numbers: Numbers, as_json: Json = False) -> None:
    """Keep what the mirror holds. All of the entries, or none."""
    from parlex.datasets import verdicts

    now = datetime.now(UTC)
    with _reading() as db:
        for number in numbers:
            verdicts.reject(db, number, now=now)
        found = [verdicts.entry(db, number) for number in numbers]
        db.commit()
    if as_json:
        _print_records(found)
        return
    for number in numbers:
        _note(f"{number} rejected: the mirror keeps what it holds")
