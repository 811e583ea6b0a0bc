"""A member: who, of which party and riding and when, the bills, and each vote, with how often with the own party."""

from __future__ import annotations

from parlex.datasets.votes import reads as votes
from parlex.datasets.votes.vote import Choice
from parlex.db.models import BallotRow
from parlex.serving import queries
from parlex.web.pages import asked
from parlex.web.pages.site import Values, View, Visit

ASKED = ("ballot", "session")


def read(visit: Visit) -> View:
    dataset = visit.site.datasets["politicians"]
    assert dataset.served is not None
    key, member = asked.record(visit, dataset)
    below = {each.name: each for each in dataset.served.below}
    given = {name: visit.query[name] for name in ASKED if visit.query.get(name)}
    cast = asked.question(below["votes"], visit.query, key, include="vote")
    every, by = asked.question(below["votes"], parent=key), {"value": BallotRow.choice.expression}
    counts = queries.tally(visit.db.connection(), below["votes"], by, every)
    bills = asked.whole(visit, below["bills"], key)
    values: Values = {
        "titles": visit.titles(("bills", f"{one['parliament']}-{one['session']} {one['number']}") for one in bills),
        "votes": asked.rows(visit, below["votes"], cast),
        "total": queries.count(visit.db.connection(), below["votes"], cast),
        "counts": {row.value: row.n for row in counts},
        "ranks": votes.ranks(visit.db, key),
        "asked": given | ({"cursor": cast.cursor} if cast.cursor else {}),
    }
    values |= {"key": key, "member": member, "bills": bills, "choices": tuple(Choice), "sessions": visit.sessions()}
    about, where = str(visit.tongue.say("member.about", who=member["name"])), visit.record_paths(dataset, key)
    values, told = values | {"given": given}, visit.api(dataset, key)
    return View("member.html", member["name"], where, values, given, about=about, **told)
