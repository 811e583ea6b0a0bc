"""A division: its result, how the parties voted, who broke ranks, and each ballot."""

from __future__ import annotations

from parlex.datasets.votes.vote import Choice
from parlex.web.pages import asked
from parlex.web.pages.site import Values, View, Visit

_SIDES = (Choice.YES, Choice.NO)


def read(visit: Visit) -> View:
    dataset = visit.site.datasets["votes"]
    assert dataset.served is not None
    key, vote = asked.record(visit, dataset, "bill")
    below = {each.name: each for each in dataset.served.below}
    parties = asked.whole(visit, below["parties"], key)
    ballots = asked.whole(visit, below["ballots"], key)
    sides = {row["party"]: row["position"] for row in parties if row["position"] in _SIDES}
    sided = [one for one in ballots if one["ballot"] in _SIDES]
    rebels = [one for one in sided if sides.get(one["party"], one["ballot"]) != one["ballot"]]
    counted = {choice: sum(one["ballot"] == choice for one in ballots) for choice in Choice}
    label = visit.tongue.say("vote.no", number=vote["number"])
    told = visit.writing.said(vote, "description").striptags()
    values: Values = {
        "key": key,
        "session": key.partition(" ")[0],
        "vote": vote,
        "parties": parties,
        "ballots": ballots,
    }
    values |= {"rebels": rebels, "sides": sides, "counted": counted}
    title, about = f"{label} · {told}", f"{visit.tongue.named('result', vote['result'])}. {told}"
    return View("vote.html", title, visit.record_paths(dataset, key), values, about=about, **visit.api(dataset, key))
