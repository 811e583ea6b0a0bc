"""The page of a bill: where it stands, how it got there, who voted how, what was changed, and how it stood on a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from parlex.answers import as_json
from parlex.datasets.bills import lineage, past, stages
from parlex.datasets.bills.bill import CLOSED, Bill
from parlex.datasets.served import CHECKED
from parlex.datasets.votes.vote import VoteKey
from parlex.db.models import BillRow
from parlex.parliament import OTTAWA, BillKey, moment_of
from parlex.serving.problems import Problem
from parlex.web.pages import asked, changes
from parlex.web.pages.site import Values, View, Visit


def read(visit: Visit) -> View:
    dataset = visit.site.datasets["bills"]
    moment = visit.query.get("as_of") or None
    key, bill = asked.record(visit, dataset, "sponsor", "votes")
    values: Values = {"moment": None, "spans": ()}
    if moment is not None:
        values["moment"], bill = moment, _past(visit, key, moment)
    else:
        divided = [VoteKey.parse(f"{one['parliament']}-{one['session']} {one['number']}") for one in bill["votes"]]
        several, newest = visit.site.bills.read(partial(_of_all, visit.db))
        values["line"] = lineage.lineage(visit.db, BillKey.parse(key)) if key in several else None
        values["parties"] = visit.site.parties.read(visit.db.connection(), divided)
        over = newest > (bill["parliament"], bill["session"])
        values["spans"] = spans(key, bill, None if over else visit.now.astimezone(OTTAWA).date())
    similar = [one["similar_key"] for one in bill["similar"]]
    values |= {"similar": similar, "titles": visit.titles(("bills", each) for each in similar)}
    history = changes.of_record(visit, "bills", key, until=moment)
    label = visit.writing.said(bill, "short_title", "title").striptags()
    values |= {"key": key, "session": key.partition(" ")[0], "bill": bill, "lanes": lanes(bill), "history": history}
    title, about, kept = f"{bill['number']} · {label}", f"{bill[f'status_{visit.lang}']}. {label}", moment is None
    where, query, told = visit.record_paths(dataset, key), {"as_of": moment} if moment else {}, visit.api(dataset, key)
    return View("bill.html", title, where, values, query, about=about, found=kept, **told)


def _past(visit: Visit, key: str, moment: str) -> dict[str, Any]:
    story = past.as_of(visit.db, BillKey.parse(key), moment_of(moment))
    if story is None:
        raise Problem(404, str(visit.tongue.say("bill.unknown_then", key=key, day=moment)))
    found: dict[str, Any] = as_json({name: value for name, value in story.as_json().items() if name != CHECKED})
    return found


def lanes(bill: Mapping[str, Any]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """The stages by chamber, the one where the bill began first; the assent is of neither."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for stage in bill["stages"]:
        found.setdefault(stage["chamber"], []).append(stage)
    order = sorted(filter(None, found), key=lambda chamber: chamber != bill["chamber"])
    return [(chamber, found[chamber]) for chamber in order]


def _of_all(db: Session) -> tuple[frozenset[str], tuple[int, int]]:
    """The keys of the bills that are reinstated ones or were reinstated, and the newest session that has a bill."""
    newest = select(BillRow.parliament, BillRow.session).order_by(BillRow.parliament.desc(), BillRow.session.desc())
    parliament, session = db.execute(newest.limit(1)).one()
    return lineage.of_several(db), (parliament, session)


def spans(key: str, bill: Mapping[str, Any], today: date | None) -> Sequence[stages.TimeInStage]:
    """How long the bill stood after each of its days; up to today, where its session lasts. Of its JSON."""
    facts = {each.name: bill[each.name] for each in fields(Bill) if each.name not in ("key", "stages")}
    days = {name: date.fromisoformat(facts[name]) for name in facts if name.endswith("_on") and facts[name]}
    closed = {name: kind(facts[name]) for name, kind in CLOSED.items()}
    return stages.times_in_stage(Bill(key=BillKey.parse(key), stages=(), **(facts | days | closed)), today)
