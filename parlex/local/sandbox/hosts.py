"""The two sites: which address gives which document, and what they refuse."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from parlex.local.sandbox import legisinfo, legisinfo_lists, openparliament
from parlex.local.sandbox.sample import current_session
from parlex.local.sandbox.web import Answer, Request
from parlex.local.sandbox.world import World

Json = dict[str, Any]
_BOM = b"\xef\xbb\xbf"
_LI_LIST = re.compile(r"/legisinfo/en/bills/json")
_LI_BILL = re.compile(r"/legisinfo/en/bill/(\d+-\d)/([cs]-[0-9a-z]+)/json")
_LI_ID = re.compile(r"/legisinfo/en/bill/(\d+)")
_OP_BILL = re.compile(r"/bills/(\d+-\d)/([CS]-[0-9A-Z]+)/")
_OP_VOTE = re.compile(r"/votes/(\d+-\d)/(\d+)/")
_OP_MEMBERSHIP = re.compile(r"/politicians/memberships/(\d+)/")
_OP_POLITICIAN = re.compile(r"/politicians/[a-z-]+/")
_OP_SESSION = re.compile(r"/(bills|votes)/(\d+-\d)/")


def _html(status: int, text: str, kind: str = "other") -> Answer:
    page = f'<!DOCTYPE html>\n<html lang="en"><head><title>{text}</title></head><body><h1>{text}</h1></body></html>'
    return Answer(status, page.encode(), kind=kind)


def _moved(status: int, location: str) -> Answer:
    return Answer(status, kind="redirect", headers=(("Location", location),))


class LegisinfoHost:
    """www.parl.ca/legisinfo: the list, the detail, and their redirects."""

    def __init__(self, world: World) -> None:
        self.world = world

    def answer(self, request: Request) -> Answer:
        if request.method != "GET":
            return _html(405, "Method not allowed")
        path = request.path
        if path != path.lower():  # paths are case-insensitive; the canonical ones are lower case
            return _moved(301, request.with_path(path.lower()))
        if _LI_LIST.fullmatch(path):
            wanted = request.query.get("parlsession", [""])[-1] or current_session(self.world.day)
            return self.world.cached(("legisinfo", "list", wanted), lambda: self._list(wanted))
        if match := _LI_BILL.fullmatch(path):
            session, number = match[1], match[2].upper()
            return self.world.cached(("legisinfo", session, number), lambda: self._bill(session, number))
        if match := _LI_ID.fullmatch(path):
            return self._by_id(int(match[1]))
        return _html(404, "404 - Page not found", "not_found")

    def _list(self, session: str) -> Answer:
        row = legisinfo_lists.row_a if self.world.shape == "A" else legisinfo_lists.row_b
        states = [state for state in self.world.states if session in ("all", state.bill.session)]
        return self._json([row(state) for state in states], "list")

    def _bill(self, session: str, number: str) -> Answer:
        state = self.world.by_url.get((session, number))
        if state is None:
            return _html(404, "404 - Page not found", "not_found")
        divisions = self.world.house.divisions_on(session, number)
        return self._json([legisinfo.detail(state, divisions)], "detail")

    def _by_id(self, legisinfo_id: int) -> Answer:
        for state in self.world.states:
            if state.bill.id == legisinfo_id:
                return _moved(302, f"/legisinfo/en/bill/{state.bill.session}/{state.bill.number.lower()}")
        return _html(404, "404 - Page not found", "not_found")

    def _json(self, document: object, kind: str) -> Answer:
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return Answer(200, _BOM + text, "application/json; charset=utf-8", kind)


class OpenParliamentHost:
    """api.openparliament.ca: bills, votes and politicians, and their pages."""

    def __init__(self, world: World) -> None:
        self.world = world

    def answer(self, request: Request) -> Answer:
        if request.method != "GET":
            return Answer(405, headers=(("Allow", "GET"),))
        if not request.path.endswith("/"):
            return _moved(301, request.with_path(request.path + "/"))
        form = request.query.get("format", [""])[-1]
        if form not in ("", "json"):
            return Answer(406, b"unknown format", "text/plain")
        as_json = form == "json" or openparliament.wants_json(request.headers.get("accept"))
        key = ("openparliament", request.target, str(as_json))
        return self.world.cached(key, lambda: self._dressed(request, as_json))

    def _dressed(self, request: Request, as_json: bool) -> Answer:
        answer = self._document(request)
        if answer.status != 200 or as_json:
            return answer
        return replace(_html(200, "OpenParliament API", answer.kind), headers=answer.headers)

    def _document(self, request: Request) -> Answer:
        try:
            return self._route(request)
        except openparliament.BadQuery as error:
            return Answer(400, str(error).encode(), "text/plain")

    def _route(self, request: Request) -> Answer:
        lists = {
            "/bills/": self._bills,
            "/votes/": self._votes,
            "/votes/ballots/": self._ballots,
            "/politicians/": self._politicians,
            "/politicians/memberships/": self._memberships,
        }
        if request.path in lists:
            return lists[request.path](request)
        if request.path == "/politicians/former/":
            return _moved(301, "/politicians/?include=former")
        if match := _OP_SESSION.fullmatch(request.path):
            return _moved(302, f"/{match[1]}/?session={match[2]}")
        return self._one(request.path)

    def _bills(self, request: Request) -> Answer:
        limit, offset = openparliament.bounds(request.query)
        found = openparliament.filtered(self.world.states, request.query)
        one_session = bool(request.query.get("session", [""])[-1])
        ordered = openparliament.ordered(found, stable=one_session, offset=offset)
        rows = [openparliament.row(state) for state in ordered]
        return self._json(openparliament.page(request.path, request.query, rows, limit, offset), "list")

    def _votes(self, request: Request) -> Answer:
        return self._page(request, self.world.house.votes(request.query), "votes")

    def _ballots(self, request: Request) -> Answer:
        return self._page(request, self.world.house.ballots(request.query), "ballots")

    def _politicians(self, request: Request) -> Answer:
        found = self.world.house.politicians_list(request.query)
        return self._page(request, found, "politicians", default=openparliament.POLITICIANS_LIMIT)

    def _memberships(self, request: Request) -> Answer:
        return self._page(request, self.world.house.memberships_list(), "memberships")

    def _page(
        self, request: Request, rows: list[Json], kind: str, *, default: int = openparliament.DEFAULT_LIMIT
    ) -> Answer:
        limit, offset = openparliament.bounds(request.query, default)
        return self._json(openparliament.page(request.path, request.query, rows, limit, offset), kind)

    def _one(self, path: str) -> Answer:
        """The detail of one thing, or the site's 404."""
        house = self.world.house
        document: Json | None = None
        kind = "other"
        if match := _OP_BILL.fullmatch(path):
            document, kind = self._bill(match[1], match[2]), "detail"
        elif match := _OP_VOTE.fullmatch(path):
            document, kind = house.vote(match[1], int(match[2])), "vote"
        elif match := _OP_MEMBERSHIP.fullmatch(path):
            document, kind = house.membership(int(match[1])), "membership"
        elif _OP_POLITICIAN.fullmatch(path):
            document, kind = house.politician(path), "politician"
        return _html(404, "Page not found", "not_found") if document is None else self._json(document, kind)

    def _bill(self, session: str, number: str) -> Json | None:
        state = self.world.by_url.get((session, number))
        votes = self.world.house.vote_urls(session, number)
        return None if state is None else openparliament.detail(state, votes)

    def _json(self, document: object, kind: str) -> Answer:
        headers = (("Vary", "Accept"), ("API-Version", "v1"))
        return Answer(200, json.dumps(document).encode(), "application/json", kind, headers)
