"""The three questions after a fault: is every bill right, is every run closed with a true status, did anything happen
twice?

What is right is what a run without faults made of the same sandbox, after its every bill was compared with the
sandbox's own answers.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import httpx
import psycopg2

from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from tests.chaos.crew import BOUND

Json = dict[str, Any]
Row = dict[str, Any]

_KEY = "parliament || '-' || session || ' ' || number"
_COMPARED = {
    "title_en": "LongTitleEn",
    "title_fr": "LongTitleFr",
    "status_en": "StatusNameEn",
    "status_fr": "StatusNameFr",
}
_WHEN = "- 'first_seen_at' - 'last_changed_at'"


@dataclass(frozen=True)
class Picture:
    """The mirror's content without its times: bills with their stages by key, and the history counted."""

    bills: dict[str, str]
    history: Counter[tuple[str, ...]]


@dataclass
class Verdict:
    """How many of each went wrong; ``notes`` says which."""

    lost: int = 0
    wrong: int = 0
    duplicates: int = 0
    open: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.wrong or self.duplicates or self.open)

    def note(self, what: str, found: Any) -> int:
        """How many were found."""
        if found:
            self.notes.append(f"{what}: {str(found)[:400]}")
        return len(found)

    def __str__(self) -> str:
        counts = [f"{getattr(self, f.name)} {f.name}" for f in fields(self) if f.name != "notes"]
        return "\n".join([", ".join(counts), *self.notes])


class Reader:
    """Reads the mirror's tables by SQL of its own: code that it shared with the mirror would share its mistakes."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """In a connection of its own, so that none is there to be cut; a server that recovers is waited for."""
        link = self._link()
        try:
            link.autocommit = True
            with link.cursor() as cursor:
                cursor.execute(query, values)
                return cursor.fetchall() if cursor.description else []
        finally:
            link.close()

    def _link(self) -> Any:
        found: list[Any] = []

        def connects() -> bool:
            try:
                found.append(psycopg2.connect(self._dsn, application_name="chaos", connect_timeout=5))
            except psycopg2.OperationalError as error:
                if not re.search("recovery mode|starting up|not yet accepting", str(error)):
                    raise
            return bool(found)

        assert wait_until(connects, 60), "the server recovers for ever"
        return found[0]

    def value(self, query: str, *values: Any) -> Any:
        return self.rows(query, *values)[0][0]

    def ended(self) -> int:
        """Keys that have ended, of all runs."""
        found: int = self.value("SELECT count(*) FROM run_keys WHERE state IN ('done', 'failed')")
        return found

    def settled(self) -> bool:
        """Whether something ran, all of it is closed, and its figures are delivered."""
        with suppress(psycopg2.OperationalError):
            runs, going = self.rows(
                "SELECT count(*), count(*) FILTER (WHERE status = 'running'"
                " OR (cardinality(waiters) > 0 AND delivered_at IS NULL)) FROM fetch_logs"
            )[0]
            return bool(runs and not going)
        return False

    def settles(self, also: Callable[[], bool] = lambda: True) -> bool:
        """Wait until all is over and ``also`` holds; False once no key has ended for ``BOUND``, however long it takes
        while some do."""

        def over() -> bool:
            return self.settled() and also()

        def moved(ended: int) -> bool:
            with suppress(psycopg2.OperationalError):
                return over() or self.ended() > ended
            return False

        while not over():
            ended = self.ended()
            if not wait_until(partial(moved, ended), BOUND, every=0.1):
                return False
        return True

    def picture(self) -> Picture:
        stages: dict[str, list[Json]] = {}
        for key, stage in self.rows(f"SELECT {_KEY}, to_jsonb(s) FROM bill_stages s ORDER BY position"):
            stages.setdefault(key, []).append(stage)
        bills = {
            key: json.dumps([bill, stages.get(key, [])], sort_keys=True)
            for key, bill in self.rows(f"SELECT {_KEY}, to_jsonb(b) {_WHEN} FROM bills b")
        }
        history = self.rows(f"SELECT {_KEY}, kind, field, old, new FROM bill_changes")
        return Picture(bills, Counter(tuple(json.dumps(part, sort_keys=True) for part in row) for row in history))

    def judge(self, right: Picture, *, may_fail: frozenset[str] = frozenset()) -> Verdict:
        """``may_fail``: bills that were kept from the mirror on purpose."""
        verdict, found = Verdict(), self.picture()
        verdict.lost = verdict.note("lost", sorted(right.bills.keys() - found.bills.keys() - may_fail))
        wrong = [key for key, bill in found.bills.items() if bill != right.bills.get(key)]
        verdict.wrong = verdict.note("wrong", sorted(wrong))
        history = +Counter({row: count for row, count in right.history.items() if json.loads(row[0]) not in may_fail})
        verdict.duplicates += verdict.note("more in the history than should be", found.history - history)
        verdict.wrong += verdict.note("missing in the history", history - found.history)
        verdict.duplicates += verdict.note("gaps or doubles in seq", self._seq_breaks())
        verdict.duplicates += verdict.note("slots with two runs", self._doubled_slots())
        verdict.open += verdict.note("not closed", self._open_runs())
        verdict.open += verdict.note("closed with a status or figures that are not true", self._untrue(may_fail))
        return verdict

    def _seq_breaks(self) -> list[Any]:
        return self.rows(
            "SELECT seq FROM (SELECT seq, row_number() OVER (ORDER BY seq) AS nth FROM bill_changes) s WHERE seq <> nth"
        )

    def _doubled_slots(self) -> list[Any]:
        return self.rows(
            "SELECT entry, slot FROM fetch_logs WHERE slot IS NOT NULL AND status <> 'abandoned'"
            " GROUP BY entry, slot HAVING count(*) > 1"
        )

    def _open_runs(self) -> list[Any]:
        return self.rows(
            "SELECT run_id, status, progress_at FROM fetch_logs"
            " WHERE status = 'running' OR (cardinality(waiters) > 0 AND delivered_at IS NULL)"
        )

    def _untrue(self, may_fail: frozenset[str]) -> list[Any]:
        """Runs of bills whose figures are not those of their keys and of the history, or whose status is not theirs."""
        rows = self.rows(
            """
            SELECT r.run_id, r.status, r.created, r.updated, r.unchanged, r.failed, r.error_count, r.errors,
              r.attempted,
              (SELECT count(*) FROM run_keys k WHERE k.run_id = r.run_id),
              (SELECT count(*) FROM run_keys k WHERE k.run_id = r.run_id AND k.state NOT IN ('done', 'failed')),
              (SELECT count(*) FROM bill_changes c WHERE c.run_id = r.run_id AND c.kind = 'created'),
              (SELECT count(DISTINCT (c.parliament, c.session, c.number)) FROM bill_changes c
                 WHERE c.run_id = r.run_id AND c.kind = 'changed'
                   AND NOT EXISTS (SELECT 1 FROM bill_changes d WHERE d.run_id = c.run_id AND d.kind = 'created'
                     AND (d.parliament, d.session, d.number) = (c.parliament, c.session, c.number))),
              (SELECT array_agg(k.key || ': ' || coalesce(k.error, '')) FROM run_keys k
                 WHERE k.run_id = r.run_id AND k.outcome = 'failed' AND NOT k.key = ANY(%s))
            FROM fetch_logs r WHERE r.dataset = 'bills' AND r.status NOT IN ('running', 'skipped', 'abandoned')
            """,
            sorted(may_fail),
        )
        return [row for row in rows if not _is_true(row)]


def _is_true(row: tuple[Any, ...]) -> bool:
    _, status, created, updated, unchanged, failed, errors, _, attempted, keys, left, were_created, changed, lost = row
    counted = created + updated + unchanged + failed
    fits = counted == attempted == keys and not left and created == were_created and updated == changed and not lost
    if failed:
        return fits and status == "partial"
    return fits and status == ("partial" if errors else "success")


def compare_with_sandbox(picture: Picture, sandbox: Sandbox, session: str) -> None:
    """Each bill that the sandbox lists is held with its titles, status and sponsor, and no other is."""
    with httpx.Client(base_url=f"{sandbox.legisinfo_url}/legisinfo/en", timeout=30) as client:
        listed = {f"{session} {row['NumberCode']}" for row in _json(client, f"/bills/json?parlsession={session}")}
        details = {key: _json(client, f"/bill/{key.lower().replace(' ', '/')}/json")[0] for key in listed}
    held = {key: json.loads(bill)[0] for key, bill in picture.bills.items() if key.startswith(f"{session} ")}
    assert held.keys() == listed
    for key, detail in details.items():
        said = [" ".join(detail[name].split()) for name in _COMPARED.values()]
        assert [held[key][column] for column in _COMPARED] == said, key


def _json(client: httpx.Client, url: str) -> list[Json]:
    answer = client.get(url)
    found: list[Json] = json.loads(answer.content.decode("utf-8-sig"))
    return found
