"""OpenParliament's members and divisions: politicians, memberships, votes, ballots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from typing import Any
from urllib.parse import quote, urlencode

from parlex.local.sandbox.openparliament import comparison, membership_id, slug
from parlex.local.sandbox.sample import rows

Json = dict[str, Any]
BALLOTS = {"Y": "Yes", "N": "No", "P": "Paired", "D": "Didn't vote"}
PARTIES = {
    "Bloc": "Bloc Québécois",
    "Conservative": "Conservative Party of Canada",
    "Green": "Green Party of Canada",
    "Independent": "Independent",
    "Liberal": "Liberal Party of Canada",
    "NDP": "New Democratic Party",
}
_PARLIAMENTS = (("2021-11-22", 44), ("2025-05-26", 45))
_RSS_ID = 1_000_000  # the site's own numeric ids are not recorded; these are made up and are never the person's id


@dataclass(frozen=True, slots=True)
class Membership:
    """A member's time under one party and in one riding; ``ballots`` by the number of the division."""

    id: int
    person_id: int
    name: str
    given: str
    family: str
    party: str
    riding: str
    province: str
    riding_id: int | None
    start: str
    end: str | None
    ballots: dict[int, str]

    @property
    def politician_url(self) -> str:
        return f"/politicians/{slug(self.name)}/"

    @property
    def url(self) -> str:
        return f"/politicians/memberships/{self.id}/"


@dataclass(frozen=True, slots=True)
class Division:
    session: str
    number: int
    date: str
    bill: str | None
    result: str
    yeas: int
    nays: int
    paired: int
    description_en: str
    description_fr: str

    @property
    def url(self) -> str:
        return f"/votes/{self.session}/{self.number}/"

    @property
    def bill_url(self) -> str | None:
        return f"/bills/{self.session}/{self.bill}/" if self.bill else None


class House:
    """Members and divisions as they were known at the end of a day."""

    def __init__(self, day: date) -> None:
        self.until = day.isoformat()

    @cached_property
    def divisions(self) -> list[Division]:
        """Newest first."""
        known = [division for division in _divisions() if division.date <= self.until]
        return sorted(known, key=lambda division: (division.date, division.number), reverse=True)

    @cached_property
    def memberships(self) -> list[Membership]:
        return [membership for membership in _memberships() if membership.start <= self.until]

    @cached_property
    def politicians(self) -> dict[str, list[Membership]]:
        """By url; the newest membership first."""
        found: dict[str, list[Membership]] = {}
        for membership in self.memberships:
            found.setdefault(membership.politician_url, []).insert(0, membership)
        return found

    def divisions_on(self, session: str, number: str) -> list[Division]:
        """Those on a bill, newest first."""
        return [division for division in self.divisions if (division.session, division.bill) == (session, number)]

    def vote_urls(self, session: str, number: str) -> list[str]:
        return [division.url for division in self.divisions_on(session, number)]

    # Votes and ballots

    def votes(self, query: Mapping[str, list[str]]) -> list[Json]:
        return _filtered((vote_row(division) for division in self.divisions), query, _VOTE_FILTERS)

    def vote(self, session: str, number: int) -> Json | None:
        for division in self.divisions:
            if (division.session, division.number) == (session, number):
                return self._vote(division)
        return None

    def _vote(self, division: Division) -> Json:
        listed = vote_row(division)
        url = listed.pop("url")
        related = {"ballots_url": f"/votes/ballots/?{urlencode({'vote': url})}", "votes_url": "/votes/"}
        return {
            **listed,
            "context_statement": None,
            "party_votes": self._lines(division),
            "url": url,
            "related": related,
        }

    def _lines(self, division: Division) -> list[Json]:
        """How each party voted: what most of its members said, and the share of those voting who said otherwise."""
        by_party: dict[str, Counter[str]] = {}
        for membership in self.memberships:
            if membership.party != "Independent" and division.number in membership.ballots:
                by_party.setdefault(membership.party, Counter())[membership.ballots[division.number]] += 1
        return [_line(party, said) for party, said in by_party.items()]

    def ballots(self, query: Mapping[str, list[str]]) -> list[Json]:
        return _filtered(self._ballots(), query, _BALLOT_FILTERS)

    def _ballots(self) -> Iterator[Json]:
        for division in self.divisions:
            for membership in self.memberships:
                if division.number in membership.ballots:
                    yield {
                        "vote_url": division.url,
                        "politician_url": membership.politician_url,
                        "politician_membership_url": membership.url,
                        "ballot": membership.ballots[division.number],
                    }

    # Politicians and memberships

    def politicians_list(self, query: Mapping[str, list[str]]) -> list[Json]:
        """The members of the day; ``include=former`` and ``include=all`` give only names and addresses."""
        include = query.get("include", [""])[-1]
        found = [
            self._politician_row(url, held, bare=include in ("former", "all")) for url, held in self._asked(include)
        ]
        names = {name: values for name, values in query.items() if name in ("name", "given_name", "family_name")}
        if not names:
            return found
        wanted = {politician["url"] for politician in _filtered(self._names(), names, _NAME_FILTERS)}
        return [politician for politician in found if politician["url"] in wanted]

    def _asked(self, include: str) -> Iterator[tuple[str, list[Membership]]]:
        for url, held in self.politicians.items():
            sits = self._end(held[0]) is None
            if include == "all" or sits != (include == "former"):
                yield url, held

    def _names(self) -> Iterator[Json]:
        for url, [newest, *_] in self.politicians.items():
            yield {"url": url, "name": newest.name, "given_name": newest.given, "family_name": newest.family}

    def _politician_row(self, url: str, held: list[Membership], *, bare: bool) -> Json:
        newest = held[0]
        if bare:
            return {"name": newest.name, "url": url}
        return {
            "name": newest.name,
            "url": url,
            "current_party": {"short_name": {"en": newest.party}},
            "current_riding": {"province": newest.province, "name": {"en": newest.riding}},
            "image": None,
        }

    def politician(self, url: str) -> Json | None:
        held = self.politicians.get(url)
        if held is None:
            return None
        newest, name = held[0], url.strip("/").rpartition("/")[2]
        page = f"https://www.ourcommons.ca/members/en/{quote(newest.name.replace(' ', '-'))}({newest.person_id})"
        return {
            "name": newest.name,
            "given_name": newest.given,
            "family_name": newest.family,
            "gender": "",
            "image": None,
            "other_info": {"parl_mp_id": [str(newest.person_id)]},
            "links": [{"url": page, "note": "Page on ourcommons.ca"}],
            "memberships": [self._membership(one) for one in held],
            "url": url,
            "related": {
                "speeches_url": f"/speeches/?politician={name}",
                "ballots_url": f"/votes/ballots/?politician={name}",
                "sponsored_bills_url": f"/bills/?sponsor_politician={name}",
                "activity_rss_url": f"/politicians/{_RSS_ID + newest.person_id}/rss/activity/",
            },
        }

    def memberships_list(self) -> list[Json]:
        return [{**self._membership(one), "politician_url": one.politician_url} for one in self.memberships]

    def membership(self, number: int) -> Json | None:
        for one in self.memberships:
            if one.id == number:
                return {**self._membership(one), "politician_url": one.politician_url}
        return None

    def _membership(self, one: Membership) -> Json:
        return {
            "url": one.url,
            "start_date": one.start,
            "end_date": self._end(one),
            "party": _party(one.party),
            "label": {"en": f"{one.party} MP for {one.riding}"},
            "riding": {"name": {"en": one.riding}, "province": one.province, "id": one.riding_id},
        }

    def _end(self, one: Membership) -> str | None:
        """Null while the member sits: an end that is still to come is not known yet."""
        return one.end if one.end and one.end < self.until else None


def vote_row(division: Division) -> Json:
    return {
        "bill_url": division.bill_url,
        "session": division.session,
        "number": division.number,
        "date": division.date,
        "description": {"en": division.description_en, "fr": division.description_fr},
        "result": division.result,
        "yea_total": division.yeas,
        "nay_total": division.nays,
        "paired_total": division.paired,
        "url": division.url,
    }


def _party(short: str) -> Json:
    return {"name": {"en": PARTIES[short]}, "short_name": {"en": short}}


def _line(party: str, said: Counter[str]) -> Json:
    voting = said["Yes"] + said["No"]
    vote = max(("Yes", "No"), key=lambda ballot: said[ballot]) if voting else said.most_common(1)[0][0]
    against = (voting - said[vote]) / voting if voting else 0.0
    return {"vote": vote, "disagreement": against, "party": _party(party)}


_VOTE_FILTERS = {
    "session": "session",
    "number": "number",
    "date": "date",
    "bill": "bill_url",
    "result": "result",
    "yea_total": "yea_total",
    "nay_total": "nay_total",
    "paired_total": "paired_total",
}
_BALLOT_FILTERS = {
    "vote": "vote_url",
    "politician": "politician_url",
    "politician_membership": "politician_membership_url",
    "ballot": "ballot",
}
_NAME_FILTERS = {name: name for name in ("name", "given_name", "family_name")}


def _filtered(found: Iterator[Json], query: Mapping[str, list[str]], fields: Mapping[str, str]) -> list[Json]:
    """Rows that match every known filter; unknown ones do nothing."""
    kept = list(found)
    for name, values in query.items():
        field, _, operator = name.partition("__")
        if field in fields and values[-1]:
            matches = comparison(operator, values[-1])
            kept = [row for row in kept if matches(row[fields[field]])]
    return kept


@cache
def _divisions() -> tuple[Division, ...]:
    return tuple(
        Division(
            session=row["session"],
            number=int(row["number"]),
            date=row["date"],
            bill=row["bill"] or None,
            result=row["result"],
            yeas=int(row["yeas"]),
            nays=int(row["nays"]),
            paired=int(row["paired"]),
            description_en=row["description_en"],
            description_fr=row["description_fr"],
        )
        for row in rows("divisions.csv")
    )


@cache
def _memberships() -> tuple[Membership, ...]:
    turns: Counter[tuple[str, int]] = Counter()
    found = []
    for row in rows("members.csv"):
        parliament = max(number for first, number in _PARLIAMENTS if first <= row["start"])
        turn = turns[row["person_id"], parliament]
        turns[row["person_id"], parliament] += 1
        found.append(_membership(row, membership_id(int(row["person_id"]), parliament, turn)))
    return tuple(found)


def _membership(row: dict[str, str], number: int) -> Membership:
    return Membership(
        id=number,
        person_id=int(row["person_id"]),
        name=row["name"],
        given=row["given"],
        family=row["family"],
        party=row["party"],
        riding=row["riding"],
        province=row["province"],
        riding_id=int(row["riding_id"]) if row["riding_id"] else None,
        start=row["start"],
        end=row["end"] or None,
        ballots={int(key[1:]): BALLOTS[row[key]] for key in row if key[1:].isdigit() and row[key]},
    )
