"""The commands of words: what a person calls a status or a type of bill that today's code does not know."""

from __future__ import annotations

import os
import pwd
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from parlex.answers import counted
from parlex.cli.frame import BILLS, Commands, Json, command, looking, note, print_json, print_records

if TYPE_CHECKING:
    from parlex.datasets.bills.dataset import BillDataset
    from parlex.resources import Resources

words = typer.Typer(cls=Commands, help="Name the words of LEGISinfo that Parlex does not know yet.")

Kind = Annotated[str, typer.Argument(metavar="KIND", help="Of what it is a word: status or type.")]
Text = Annotated[str, typer.Argument(metavar="TEXT", help="The text, in English, as LEGISinfo writes it.")]


@words.callback(invoke_without_command=True)
def list_all(ctx: typer.Context, as_json: Json = False) -> None:
    """List the words that nobody has named, with how many bills have them, and those that a person named."""
    if not ctx.invoked_subcommand:
        _list(as_json=as_json)


@command(words, name="list")
def list_words(as_json: Json = False) -> None:
    """List the words that nobody has named, with how many bills have them, and those that a person named.

    Example: parlex words list
    """
    _list(as_json=as_json)


def _list(*, as_json: bool) -> None:
    from parlex.cli.tables import bills as tables
    from parlex.cli.tables import layout
    from parlex.datasets.bills import words as named

    with looking() as resources, resources.db() as db:
        unknown, known = named.unknown(db), named.words(db)
    if as_json:
        for one in unknown:
            print_json({**one.as_json(), "code": None, "added_at": None, "added_by": None})
        print_records(known)
        return
    layout.console().print(tables.named(unknown, known))
    note(f"{counted(len(unknown), 'word')} without a name" if unknown else "every word has a name")


@command(words)
def add(
    kind: Kind,
    text: Text,
    code: Annotated[str, typer.Argument(metavar="CODE", help="Its code: one below, or a new one like house_paused.")],
) -> None:
    """Name a word, or name it otherwise. Bills that have it get the code at once, without a request, as reparsed.

    Codes of a status: RoyalAssentGiven, RoyalAssentAwaiting, BillDefeated, WillNotBeProceededWith, ProForma,
    OutsideOrderPrecedence, HouseAt2ndReading, HouseAtReferralToCommitteeBeforeSecondReading, HouseInCommittee,
    HouseAtReportStage, HouseAtReportStageAndSecondReading, HouseAt3rdReading, HouseBillWaitingSenate,
    HouseConsideringSenAmendments, SenateAt2ndReading, SenateInCommittee, SenateAtReportStage, SenateAt3rdReading,
    SenateBillWaitingHouse, SenConsideringHouseAmendments.

    Codes of a type: House Government Bill, Private Member’s Bill, Senate Government Bill, Senate Public Bill,
    Senate Private Bill.

    Example: parlex words add status "At second reading in the House" HouseAt2ndReading
    """
    from parlex.datasets.bills import words as named

    with looking() as resources, resources.db() as db:
        new = named.add(db, kind, text, code, by=_somebody())
        changed = _bills(resources).rename(db, None, datetime.now(UTC))
    if new:
        note(f"{code} is a code that Parlex did not know: nothing in it knows what it means")
    note(f"{text!r} is {code}, on {counted(changed, 'bill')}")


@command(words)
def remove(kind: Kind, text: Text) -> None:
    """Forget the name of a word. A status is unknown again at once; a type where its bills are read again.

    Example: parlex words remove status "At second reading in the House"
    """
    from parlex.datasets.bills import words as named

    with looking() as resources, resources.db() as db:
        named.remove(db, kind, text)
        changed = _bills(resources).rename(db, None, datetime.now(UTC), [" ".join(text.split())])
    note(f"{text!r} has no name any more, on {counted(changed, 'bill')}")
    if kind == "type":
        note("to have the text back where it had been named: parlex replay --apply")


def _bills(resources: Resources) -> BillDataset:
    from parlex.datasets.bills.dataset import BillDataset

    found = resources.datasets[BILLS]
    assert isinstance(found, BillDataset)
    return found


def _somebody() -> str:
    """Who is at the keyboard, as the machine knows them."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
