"""The page of a bill: where it stands, how it got there, who voted how, what was changed, and how it stood on a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date
from typing import Any

from parlex.answers import as_json
from parlex.datasets.bills import lineage, past, stages
from parlex.datasets.bills.bill import CLOSED, Bill
from parlex.datasets.served import CHECKED
from parlex.datasets.votes import reads as votes
from parlex.datasets.votes.vote import VoteKey
from parlex.parliament import OTTAWA, BillKey, moment_of
from parlex.serving.problems import Problem
from parlex.web.pages import asked, changes
from parlex.web.pages.site import View, Visit


def read(visit: Visit) -> View:
    dataset = visit.site.datasets["bills"]
    moment = visit.query.get("as_of") or None
    key, bill = asked.record(visit, dataset, "sponsor", "votes")
    values: dict[str, Any] = {"moment": None}
    if moment is not None:
        values["moment"], bill = moment, _past(visit, key, moment)
    else:
        divided = [VoteKey.parse(f"{one['parliament']}-{one['session']} {one['number']}") for one in bill["votes"]]
        line = lineage.lineage(visit.db, BillKey.parse(key)) if lineage.is_one_of_several(visit.db, key) else None
        values |= {"parties": votes.parties_of(visit.db, divided), "line": line}
    similar = [one["similar_key"] for one in bill["similar"]]
    values |= {"similar": similar, "titles": visit.titles(("bills", each) for each in similar)}
    history = changes.of_record(visit, "bills", key, until=moment)
    label = visit.writing.said(bill, "short_title", "title").striptags()
    return View(
        "bill.html",
        f"{bill['number']} · {label}",
        visit.record_paths(dataset, key),
        values
        | {
            "key": key,
            "session": key.partition(" ")[0],
            "bill": bill,
            "lanes": lanes(bill),
            "spans": spans(visit, BillKey.parse(key), bill) if moment is None else (),
            "history": history,
        },
        {"as_of": moment} if moment else {},
        about=f"{bill[f'status_{visit.lang}']}. {label}",
        feed=f"bills/{key.replace(' ', '/')}.atom?lang={visit.lang}",
        json=f"bills/{key.replace(' ', '/')}",
        found=moment is None,
    )


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


def spans(visit: Visit, key: BillKey, bill: Mapping[str, Any]) -> Sequence[stages.TimeInStage]:
    """How long the bill stood after each of its days; up to today while its session lasts."""
    over = past.is_over(visit.db, key.session, visit.now)
    return stages.times_in_stage(_domain(key, bill), None if over else visit.now.astimezone(OTTAWA).date())


def _domain(key: BillKey, bill: Mapping[str, Any]) -> Bill:
    """The bill of its JSON, without its stages."""
    facts = {each.name: bill[each.name] for each in fields(Bill) if each.name not in ("key", "stages")}
    days = {name: date.fromisoformat(facts[name]) for name in facts if name.endswith("_on") and facts[name]}
    closed = {name: kind(facts[name]) for name, kind in CLOSED.items()}
    return Bill(key=key, stages=(), **(facts | days | closed))
