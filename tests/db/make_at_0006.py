"""How ``at_0006.jsonl.xz`` was made: a mirror filled by the code of version 0006 of the schema, out of its sandbox.

It ran once, from a checkout of that code with its requirements installed, and runs there again; today's code has other
modules and cannot run it:

    PYTHONPATH=. .venv/bin/python …/make_at_0006.py at_0006.jsonl.xz

The sandbox plays the sources: two sessions of bills, fifteen politicians and five divisions, looked at on several
days, on which bills, politicians and votes change, leave their lists and come back. Between those looks the sources
misbehave in every way that version knows, and people decide on what it parked. What cannot be provoked without waiting
for hours (a row that an older parser read otherwise) is written by SQL, as the tests of that version did.

The file holds one JSON value a line, ``[table, {column: value}]``, table by table in an order that foreign keys allow.
A document's body stands there as its text, one character a byte (it was zlib, which would not compress again);
``archive`` is no table but the documents that only the archive had any more. The sandbox's address is written as
``http://sources.test``, and the day on which it ran as the last day that the sandbox showed.
"""

from __future__ import annotations

import json
import lzma
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

from parlex import alerts, digest, documents, embedded, housekeeping, monitor, notify, pipeline, quarantine, runs
from parlex import replay as replays
from parlex.bills import SessionId
from parlex.db import migrate
from parlex.errors import ParlexError
from parlex.resources import Resources
from parlex.runs import Figures
from parlex.sandbox import Sandbox
from parlex.settings import Settings
from tests import webhook as webhooks
from tests.edited import Edited, edited

NOW, OLD = SessionId(45, 1), SessionId(44, 1)
DAYS = ("2025-06-13", "2025-12-01", "2026-06-10", "2026-06-15", "2026-07-24")
TODAY = datetime.now(UTC).date().isoformat()
DIVISIONS = (1, 8, 33, 47, 173)
LIST, DETAILS, COMPANION = r"/legisinfo/en/bills/json", r"/legisinfo/en/bill/", r"^/bills/4"
POLITICIANS, VOTES = r"/politicians/\?", r"/votes/\?session"
KNOWN = {f"/politicians/{slug}/" for slug in ("mark-carney", "ziad-aboultaif", "elizabeth-may")}
TABLES = (
    *("counters", "heartbeats", "alerts", "notifications", "fetch_logs", "run_keys", "documents", "document_fetches"),
    *("latest_documents", "listings", "sweeps", "quarantine", "bills", "bill_stages", "bill_changes", "politicians"),
    *("politician_memberships", "votes", "vote_parties", "ballots", "record_changes"),
)


class Mirror:
    """The mirror that is filled, its sources, and the person who decides."""

    def __init__(self, front: Edited, resources: Resources) -> None:
        self.front, self.resources = front, resources
        self.lasting: list[tuple[str, Callable[[Any], Any]]] = []

    # Looking and waiting.

    def execute(self, statement: str, **values: Any) -> None:
        with self.resources.db() as db:
            db.execute(text(statement), values)

    def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.resources.db() as db:
            return [tuple(row) for row in db.execute(text(query), values)]

    def bills(self, session: SessionId = NOW, **options: Any) -> Figures:
        return pipeline.run_here(self.resources, pipeline.session_request(session, **options))

    def latest(self, dataset: str, **options: Any) -> Figures:
        return pipeline.run_here(self.resources, pipeline.latest_request(dataset=dataset, **options))

    def votes(self) -> Figures:
        return pipeline.run_here(self.resources, pipeline.session_request(NOW, dataset="votes"))

    def again(self, dataset: str) -> Figures:
        """Every detail asked for once more, as after a change of each line."""
        self.execute("UPDATE listings SET fetched_fingerprint = 'older' WHERE dataset = :name", name=dataset)
        return {"bills": self.bills, "votes": self.votes, "politicians": lambda: self.latest("politicians")}[dataset]()

    # The sources.

    def few(self) -> None:
        """As usual: fifteen politicians and five divisions, and what is said to last.

        Most of what happens to all happens to them.
        """
        self.front.edits.clear()
        self.front.edit(POLITICIANS, kept(lambda row: row["url"] in KNOWN or row["url"] < "/politicians/am"))
        self.front.edit(VOTES, kept(lambda row: row["number"] in DIVISIONS))
        for target, rewrite in self.lasting:
            self.front.edit(target, rewrite)

    def last(self, target: str, rewrite: Callable[[Any], Any]) -> None:
        """Say so from now on."""
        self.lasting.append((target, rewrite))
        self.front.edit(target, rewrite)

    # The person.

    def decide(self, dataset: str, decision: str, kind: str, field: str | None = None, most: int = 1) -> None:
        query = """SELECT id FROM quarantine WHERE dataset = :dataset AND kind = :kind AND state = 'open'
            AND (field = :field OR CAST(:field AS text) IS NULL) ORDER BY id DESC LIMIT :most"""
        found = self.rows(query, dataset=dataset, kind=kind, field=field, most=most)
        assert len(found) == most, (dataset, decision, kind, field, found)
        for (number,) in found:
            with self.resources.db() as db:
                getattr(quarantine, decision)(db, number, now=datetime.now(UTC))


def kept(wanted: Callable[[Any], bool]) -> Callable[[Any], Any]:
    """A page of a list, without the rows that are not wanted."""
    return lambda page: page | {"objects": [row for row in page["objects"] if wanted(row)]}


def each(wanted: Callable[[Any], bool], **values: Any) -> Callable[[Any], Any]:
    """A page of a list, with these values in the rows that are wanted."""

    def rewrite(page: Any) -> Any:
        for row in page["objects"]:
            if wanted(row):
                row.update(values)
        return page

    return rewrite


def given(**values: Any) -> Callable[[Any], Any]:
    """A detail with these values; LEGISinfo's is a list of one."""
    return lambda found: [row | values for row in found] if isinstance(found, list) else found | values


def bill_lines(wanted: Callable[[Any], bool], **values: Any) -> Callable[[Any], Any]:
    return lambda found: [row | values if wanted(row) else row for row in found]


def fill(mirror: Mirror, sandbox: Sandbox, webhook: webhooks.Webhook) -> None:
    front = mirror.front
    mirror.few()
    failures(mirror)
    backfill(mirror)
    told(mirror)
    days(mirror, sandbox)
    history(mirror)
    told(mirror)
    forgotten(mirror)
    fields_parked(mirror)
    documents_parked(mirror)
    rows_parked(mirror)
    lists_parked(mirror)
    reparsed(mirror)
    mirror.few()
    webhook.status = 500
    told(mirror)
    under_way(mirror)
    front.edits.clear()
    mirror.execute("UPDATE notifications SET given_up_at = now() WHERE id = (SELECT max(id) FROM notifications)")


def failures(mirror: Mirror) -> None:
    """Runs that end otherwise than well."""
    for fault in ("garbage", "error"):
        mirror.front.sandbox.fault(fault, path="bills")
        with suppress(ParlexError):
            mirror.latest("bills", limit=5)
        mirror.front.sandbox.clear_faults()
    for dataset in ("bills", "votes"):
        with suppress(ParlexError):  # "wrong request: …"
            pipeline.run_here(mirror.resources, pipeline.session_request(SessionId(99, 1), dataset=dataset))
    hour = datetime(2026, 6, 10, 12, tzinfo=UTC)
    for dataset in ("bills", "politicians", "votes"):
        opened = open_run(mirror, dataset, f"latest {dataset}", hour)
        skipped = open_run(mirror, dataset, f"latest {dataset}", hour + timedelta(hours=1))
        assert mirror.rows("SELECT status FROM fetch_logs WHERE run_id = :id", id=skipped) == [("skipped",)]
        assert pipeline.revoke(mirror.resources, opened)
    abandoned = open_run(mirror, "bills", None, None)
    pipeline.plan(mirror.resources, abandoned)
    with mirror.resources.db() as db:
        runs.abandon(db, abandoned, now=pipeline.now())


def open_run(mirror: Mirror, dataset: str, entry: str | None, slot: datetime | None, limit: int = 3) -> UUID:
    request = pipeline.latest_request(limit, dataset=dataset)
    waiter = None if entry else "0b0e7f3c-6b2e-4b7e-9c52-1c1c38a8a5f0"
    return pipeline.open_run(mirror.resources, request, entry=entry, slot=slot, waiter=waiter).run.run_id


def backfill(mirror: Mirror) -> None:
    for session in (OLD, NOW):
        assert mirror.bills(session).status == "success"
    assert mirror.latest("politicians").status == "success"
    mirror.front.sandbox.fault("error", path="ballots.*45-1/1/", first=20)
    assert mirror.votes().status == "partial"
    mirror.front.sandbox.clear_faults()
    (run_id,) = mirror.rows("SELECT run_id FROM fetch_logs WHERE dataset = 'votes' AND status = 'partial'")[0]
    pipeline.rerun_failures(mirror.resources, run_id)


def told(mirror: Mirror) -> None:
    """Heartbeats, alerts and a digest."""
    resources, now = mirror.resources, datetime.now(UTC)
    housekeeping.heartbeat(resources, "beat")
    alerts.check(resources, now)
    to = notify.targets(resources.settings)
    with resources.db() as db:
        report = monitor.statistics(db, now - timedelta(days=1), now)
        digest.post(db, report, to, occasion=f"digest {now.isoformat()}")
    notify.deliver(resources, to, now=now)


def days(mirror: Mirror, sandbox: Sandbox) -> None:
    for day in DAYS[1:]:
        sandbox.move(day)
        mirror.latest("bills", limit=12)
        mirror.latest("politicians")
        mirror.latest("votes", limit=1)
    mirror.bills()
    mirror.votes()


def history(mirror: Mirror) -> None:
    """Who leaves the lists and comes back, who leaves for good, and corrections."""
    front = mirror.front
    some = {"C-3", "C-4"}, {"/politicians/mark-carney/", "/politicians/ziad-aboultaif/"}, {8, 47}
    for bills, politicians, votes in (some, ({"C-4"}, {"/politicians/ziad-aboultaif/"}, {47})):
        mirror.lasting.clear()
        mirror.few()
        mirror.last(LIST, lambda found, gone=bills: [row for row in found if row["NumberCode"] not in gone])
        mirror.last(POLITICIANS, kept(lambda row, gone=politicians: row["url"] not in gone))
        mirror.last(VOTES, kept(lambda row, gone=votes: row["number"] not in gone))
        mirror.bills()
        mirror.latest("politicians")
        mirror.votes()
    front.set(r"/bill/45-1/c-2/json", SponsorPersonName="Somebody Else")
    front.edit(COMPANION + "5-1/C-2/", lambda bill: bill | {"text_url": "/documents/C-2"})
    front.edit("/politicians/elizabeth-may/", lambda found: found | {"gender": None, "other_info": {}})
    front.edit("ballots.*45-1/8/", lambda page: page | {"objects": page["objects"][:-1]})
    for dataset in ("bills", "politicians", "votes"):
        mirror.again(dataset)


def forgotten(mirror: Mirror) -> None:
    """Documents that live in the archive only, and others that live there too."""
    housekeeping.archive(mirror.resources)
    with mirror.resources.db() as db:
        assert documents.prune_documents(db, pipeline.now(), archived=True)


DETAILS_SPOILED = {
    # Of each dataset two details, and what cannot be read of them.
    "bills": [(rf"{DETAILS}45-1/c-{number}/json", given(StatusNameEn="At the printer's")) for number in (5, 8)],
    "politicians": [(f"/politicians/{slug}/", given(name=None)) for slug in ("elizabeth-may", "mark-carney")],
    "votes": [(f"/votes/45-1/{number}/$", given(result="?")) for number in (1, 173)],
}


def documents_parked(mirror: Mirror) -> None:
    """Unreadable documents: resolved, rejected and open."""
    for dataset, (first, second) in DETAILS_SPOILED.items():
        mirror.few()
        mirror.front.edit(*first)
        mirror.again(dataset)
        mirror.few()
        mirror.again(dataset)
        mirror.last(*second)
        mirror.again(dataset)
        mirror.decide(dataset, "reject", "document")
        mirror.last(*first)
        mirror.again(dataset)


LINES_SPOILED = {
    # Of each dataset three lines, and what cannot be read of them. No line of politicians tells whose it is.
    "bills": [
        (LIST, bill_lines(lambda row, number=number: row["NumberCode"] == number, StatusNameEn="?"))
        for number in ("C-10", "C-11", "C-12")
    ],
    "politicians": [
        (POLITICIANS, each(lambda row, slug=slug: row["url"] == f"/politicians/{slug}/", **values))
        for slug, values in (
            ("aaron-gunn", {"name": None}),
            ("aaron-gunn", {"name": None}),
            ("ali-ehsassi", {"url": 5}),
        )
    ],
    "votes": [
        (VOTES, each(lambda row, number=number: row["number"] == number, result=None)) for number in (8, 33, 173)
    ],
}


def rows_parked(mirror: Mirror) -> None:
    """Unreadable lines: resolved, rejected and open."""
    for dataset, (first, second, third) in LINES_SPOILED.items():
        mirror.few()
        mirror.front.edit(*first)
        mirror.again(dataset)
        mirror.few()
        mirror.again(dataset)
        mirror.last(*second)
        mirror.again(dataset)
        mirror.decide(dataset, "reject", "row")
        mirror.last(*third)
        mirror.again(dataset)


BLANKS = {
    "bills": (DETAILS, "sponsor_name", given(SponsorPersonName=" ")),
    "politicians": ("/politicians/[a-z]", "family_name", given(family_name="")),
    "votes": (r"/votes/45-1/\d+/$", "context_statement", given(context_statement=None)),
}


def fields_parked(mirror: Mirror) -> None:
    """Values that go blank for all: approved, rejected, resolved and open."""
    for dataset, (target, field, blank) in BLANKS.items():
        mirror.few()
        if dataset == "votes":
            mirror.front.edit(target, given(context_statement="Said in the House"))
            mirror.again(dataset)
        mirror.last(target, blank)
        mirror.again(dataset)
        mirror.decide(dataset, "approve", "field", field)
        mirror.decide(dataset, "reject", "field", field)
        resolve_one(mirror, dataset, target, field)


def resolve_one(mirror: Mirror, dataset: str, target: str, field: str) -> None:
    """The source says the newest blank's value again."""
    ((key, held),) = mirror.rows(
        "SELECT key, held FROM quarantine WHERE dataset = :name AND field = :field AND state = 'open'"
        " ORDER BY id DESC LIMIT 1",
        name=dataset,
        field=field,
    )
    path = key.replace(" ", "/").lower()
    word = {"sponsor_name": "SponsorPersonName"}.get(field, field)
    mirror.last(rf"{path}/(json)?(\?|$)", given(**{word: held}))
    mirror.again(dataset)


def lists_parked(mirror: Mirror) -> None:
    """Lists that shrink, run empty or lose a field: approved, rejected, resolved and open."""
    front = mirror.front
    few: dict[str, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
        "bills": (LIST, lambda found: [], lambda found: found[:-8]),
        "politicians": (POLITICIANS, kept(lambda row: False), kept(lambda row: str(row["url"]) < "/politicians/al")),
        "votes": (VOTES, kept(lambda row: False), kept(lambda row: row["number"] == 1)),
    }
    for dataset, (target, none, fewer) in few.items():
        look = {"bills": mirror.bills, "votes": mirror.votes, "politicians": lambda: mirror.latest("politicians")}
        for spoil in (none, fewer):
            mirror.few()
            front.edit(target, spoil)
            look[dataset]()
        mirror.decide(dataset, "approve", "sweep")
        look[dataset]()
        mirror.few()
        look[dataset]()
    mirror.last(LIST, bill_lines(lambda row: True, ShortTitleEn=""))
    mirror.last(POLITICIANS, each(lambda row: True, current_riding=None))
    mirror.last(VOTES, each(lambda row: True, description={"en": None, "fr": None}))
    mirror.bills()
    mirror.latest("politicians")
    mirror.votes()
    for dataset in ("politicians", "votes"):
        mirror.decide(dataset, "reject", "sweep")
    front.edit(LIST, lambda found: [])
    mirror.bills(OLD)
    mirror.decide("bills", "reject", "sweep")


def reparsed(mirror: Mirror) -> None:
    """As after a change of the parsers: rows that differ from their documents, read again."""
    mirror.execute("UPDATE bills SET royal_assent_on = '2026-01-01', sponsor_slug = 'nobody' WHERE number = 'C-3'")
    mirror.execute("UPDATE bills SET flags = '{invented}' WHERE number = 'C-2' AND parliament = 45")
    mirror.execute("UPDATE votes SET description_fr = 'x' WHERE number = 8")
    mirror.execute("DELETE FROM ballots WHERE number = 8 AND slug = 'elizabeth-may'")
    mirror.execute("UPDATE politicians SET given_name = 'x' WHERE slug = 'elizabeth-may'")
    list(replays.replay(mirror.resources, apply=True))
    for dataset in ("politicians", "votes"):
        keys = [key for (key,) in mirror.rows("SELECT key FROM listings WHERE dataset = :name", name=dataset)]
        with mirror.resources.db() as db:
            mirror.resources.datasets[dataset].replay(db, keys, apply=True, now=pipeline.now())  # type: ignore[attr-defined]


def under_way(mirror: Mirror) -> None:
    """A run of the workers that is not over: of its keys one is saved, one is fetched, one waits."""
    mirror.execute("UPDATE listings SET fetched_fingerprint = NULL WHERE dataset = 'bills' AND key LIKE '45-1 C-%'")
    run_id = open_run(mirror, "bills", "latest bills", datetime(2026, 7, 24, 12, tzinfo=UTC))
    resources = mirror.resources
    pipeline.plan(resources, run_id)
    first, second, _ = pipeline.take_chunk(resources, run_id)
    pipeline.persist(resources, run_id, pipeline.fetch(resources, run_id, [first]).persist)
    pipeline.fetch(resources, run_id, [second])


# What must be in it.


def check(mirror: Mirror) -> None:
    for query, wanted in (
        ("SELECT DISTINCT status FROM fetch_logs", "running success partial failure skipped abandoned"),
        ("SELECT DISTINCT kind FROM bill_changes", "created changed withdrawn reappeared reparsed"),
        ("SELECT DISTINCT kind FROM record_changes", "created changed withdrawn reappeared reparsed"),
        ("SELECT DISTINCT dataset FROM record_changes WHERE kind = 'reparsed'", "politicians votes"),
        ("SELECT name FROM counters", "bill_changes record_changes digest"),
        ("SELECT DISTINCT body IS NULL FROM documents", "True False"),
        ("SELECT DISTINCT archived_at IS NULL FROM documents", "True False"),
        ("SELECT DISTINCT withdrawn FROM bills", "True False"),
        ("SELECT DISTINCT withdrawn FROM votes", "True False"),
        ("SELECT DISTINCT withdrawn FROM politicians", "True False"),
        ("SELECT DISTINCT delivered_at IS NULL FROM notifications", "True False"),
        ("SELECT DISTINCT closed_at IS NULL FROM alerts", "True False"),
        ("SELECT DISTINCT state FROM run_keys", "waiting fetched done failed"),
    ):
        found = {str(row[0]) for row in mirror.rows(query)}
        missing = set(wanted.split()) - found
        if missing:
            raise SystemExit(f"{query}: {missing} is missing")
    for pattern in ("wrong request: %", "revoked by hand%"):
        assert mirror.rows("SELECT 1 FROM fetch_logs WHERE errors ->> 0 LIKE :pattern", pattern=pattern), pattern
    found = set(mirror.rows("SELECT dataset, kind, state FROM quarantine"))
    for dataset in ("bills", "politicians", "votes"):
        for kind in ("document", "row", "sweep", "field"):
            for state in ("open", "approved", "rejected", "resolved"):
                if (dataset, kind, state) not in found and (kind in ("sweep", "field") or state != "approved"):
                    raise SystemExit(f"{dataset}: no {kind} in quarantine is {state}")


# Writing it.


def lines(mirror: Mirror) -> Iterator[str]:
    for table in TABLES:
        if table == "documents":
            query = "SELECT to_jsonb(t) - 'body', body FROM documents t ORDER BY sha256"
            found = [
                row | {"body": None if body is None else zlib.decompress(body).decode("latin-1")}
                for row, body in mirror.rows(query)
            ]
        else:
            found = [row for (row,) in mirror.rows(f"SELECT to_jsonb(t) FROM {table} t ORDER BY t")]
        for row in found:
            yield line(mirror, table, row)
    for (sha256,) in mirror.rows("SELECT sha256 FROM documents WHERE body IS NULL ORDER BY sha256"):
        body = mirror.resources.archive.get(sha256)
        yield line(mirror, "archive", {"sha256": sha256, "body": body.decode("latin-1")})


def line(mirror: Mirror, table: str, row: Any) -> str:
    said = json.dumps([table, row], ensure_ascii=False, sort_keys=True)
    return said.replace(mirror.front.url, "http://sources.test").replace(TODAY, DAYS[-1]) + "\n"


def main(target: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Sandbox(as_of=DAYS[0]) as sandbox,
        edited(sandbox) as front,
        webhooks.serving() as webhook,
    ):
        home = Path(folder)
        home.chmod(0o755)
        with embedded.servers(Settings(database_url=None, redis_url=None, home=home / "home")) as addresses:
            migrate.upgrade(addresses.database_url)
            settings = Settings(
                database_url=addresses.database_url,
                redis_url=addresses.redis_url,
                home=home / "home",
                contact="tests@example.org",
                legisinfo_url=front.url,
                openparliament_url=front.url,
                legisinfo_rate=0,
                openparliament_rate=0,
                retry_delay=0,
                guard_min_rows=2,
                archive_url=str(home / "archive"),
                alert_urls=webhook.url,
                alert_clear_minutes=0,
            )
            resources = Resources(settings, embedded.resolve(settings))
            mirror = Mirror(front, resources)
            fill(mirror, sandbox, webhook)
            check(mirror)
            target.write_bytes(lzma.compress("".join(lines(mirror)).encode()))
            for table in TABLES:
                print(table, mirror.rows(f"SELECT count(*) FROM {table}")[0][0])
            resources.close()
    print(target.stat().st_size, "bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
