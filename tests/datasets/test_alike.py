"""What holds for one dataset holds for each: one test a behaviour, tried on bills, politicians and votes."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from structlog.testing import capture_logs

from parlex.datasets import provenance, verdicts
from parlex.db import advisory
from parlex.local.sandbox import Sandbox
from parlex.mirror import history
from parlex.mirror.quarantine import QuarantineRecord
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.runs import reads as run_reads
from parlex.runs.fetch_logs import Figures
from tests import looking
from tests.edited import Edited, edited
from tests.looking import last_seq

LAST = "2026-07-24"
GONE = ("/politicians/ziad-aboultaif/", "/votes/45-1/8/")  # whom a torn list does not show
SOME = {f"/politicians/{slug}/" for slug in ("mark-carney", "elizabeth-may", "ziad-aboultaif")}


@dataclass(frozen=True)
class Case:
    """``details``: matches the targets of all details, ``detail``: of that of ``key``. ``blank``: what makes ``field``
    go blank in a detail, ``broken``: what makes one unreadable."""

    dataset: str
    key: str
    details: str
    detail: str
    field: str
    blank: dict[str, Any]
    broken: dict[str, Any]


CASES = [
    Case(
        dataset="bills",
        key="45-1 C-2",
        details=r"/legisinfo/en/bill/45-1/",
        detail=r"/legisinfo/en/bill/45-1/c-2/json",
        field="sponsor_name",
        blank={"SponsorPersonName": " "},
        broken={"StatusId": 341},
    ),
    Case(
        dataset="politicians",
        key="mark-carney",
        details=r"^/politicians/[a-z]",
        detail=r"^/politicians/mark-carney/",
        field="family_name",
        blank={"family_name": ""},
        broken={"name": 7},
    ),
    Case(
        dataset="votes",
        key="45-1 33",
        details=r"^/votes/45-1/\d+/$",
        detail=r"^/votes/45-1/33/$",
        field="description_fr",
        blank={"description": {"en": "A motion", "fr": ""}},
        broken={"result": "?"},
    ),
]


@pytest.fixture(params=CASES, ids=lambda case: case.dataset)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def front(case: Case) -> Iterator[Edited]:
    with Sandbox(as_of=LAST) as sandbox, edited(sandbox) as front:
        if case.dataset == "politicians":
            front.edit(r"/politicians/\?", a_few)
        yield front


def a_few(page: Any) -> Any:
    """A House of some thirty: what happens to all happens to them, and sooner."""
    return page | {"objects": [r for r in page["objects"] if r["url"] in SOME or r["url"] < "/politicians/am"]}


@pytest.fixture
def mirror(front: Edited, make_resources: Callable[..., Resources]) -> Resources:
    return make_resources(legisinfo_url=front.url, openparliament_url=front.url)


def fetch(mirror: Resources, case: Case) -> Figures:
    """All that there is, each detail asked for again."""
    looking.outdate(mirror, case.dataset)
    if mirror.datasets[case.dataset].by_session:
        return alone.run_session(mirror.pipeline, SessionId(45, 1), dataset=case.dataset)
    return alone.run_latest(mirror.pipeline, limit=None, dataset=case.dataset)


def fetch_one_by_one(mirror: Resources, case: Case) -> Figures:
    """As :func:`fetch`, with one key in each message, as at a slow rate."""
    looking.outdate(mirror, case.dataset)
    by_session = mirror.datasets[case.dataset].by_session
    session, latest = mirror.pipeline.session_request, mirror.pipeline.latest_request
    request = session(SessionId(45, 1), dataset=case.dataset) if by_session else latest(None, dataset=case.dataset)
    return looking.one_by_one(mirror, request)


def entries(mirror: Resources, state: str | None = "open") -> list[QuarantineRecord]:
    with mirror.db() as db:
        return list(verdicts.entries(db, state=state))


def decide(mirror: Resources, verdict: Callable[..., Any], *numbers: int) -> None:
    with mirror.db() as db:
        for number in numbers:
            verdict(db, mirror.datasets, number, now=datetime.now(UTC))


def value(mirror: Resources, case: Case) -> Any:
    with mirror.db() as db:
        return mirror.datasets[case.dataset].held(db, [case.key])[case.key].facts[case.field]


def test_a_blank_that_a_person_rejected_is_settled(case: Case, front: Edited, mirror: Resources) -> None:
    fetch(mirror, case)
    good = value(mirror, case)
    front.set(case.details, **case.blank)
    assert fetch(mirror, case).status == "partial"
    decide(mirror, verdicts.reject, *(entry.id for entry in entries(mirror)))
    with capture_logs() as lines:
        run = fetch(mirror, case)
    assert (run.status, run.error_count) == ("success", 0)
    assert [line for line in lines if line["event"] == "alert guard"] == []
    assert value(mirror, case) == good


def test_an_unreadable_document_that_a_person_rejected_is_settled(case: Case, front: Edited, mirror: Resources) -> None:
    fetch(mirror, case)
    front.set(case.detail, **case.broken)
    assert (fetch(mirror, case).status, [entry.key for entry in entries(mirror)]) == ("partial", [case.key])
    decide(mirror, verdicts.reject, entries(mirror)[0].id)
    run = fetch(mirror, case)
    assert (run.status, run.error_count, run.failed) == ("success", 0, 0)


def test_a_parked_document_is_replayed_once_the_code_reads_it(case: Case, front: Edited, mirror: Resources) -> None:
    """The code is not mended here: its document is, where it is kept, as if it had always been read so."""
    good = front.answer(address(case))[2]
    front.set(case.detail, **case.broken)
    run = fetch(mirror, case)
    assert (run.status, run.failed) == ("partial", 1)
    (parked,) = entries(mirror)
    with mirror.db() as db:
        sha256 = db.scalar(text("SELECT document FROM quarantine"))
        db.execute(text("UPDATE documents SET body = :body WHERE sha256 = :sha"), {"body": packed(good), "sha": sha256})
    differences = [one for part in looking.again(mirror, case.dataset, apply=True) for one in part.differences]
    assert [(one.key, one.kind) for one in differences] == [(case.key, "created")]
    assert (entries(mirror), parked.kind, parked.key) == ([], "document", case.key)
    (told,) = looking.verified(mirror, dataset=case.dataset)
    assert case.key not in told.missing


def address(case: Case) -> str:
    return {
        "bills": "/legisinfo/en/bill/45-1/c-2/json",
        "politicians": "/politicians/mark-carney/",
        "votes": "/votes/45-1/33/",
    }[case.dataset]


def packed(body: bytes) -> bytes:
    return zlib.compress(body)


def test_a_run_tells_what_it_changed(case: Case, mirror: Resources) -> None:
    run = fetch(mirror, case)
    with mirror.db() as db:
        story = run_reads.run_story(db, run_reads.find_run(db, run.run_id))
    assert story is not None
    assert len(story.changes) == run.created > 0
    assert {change.dataset for change in story.changes} == {case.dataset}


def test_approving_waits_for_whoever_saves_the_same_key(case: Case, front: Edited, mirror: Resources) -> None:
    fetch(mirror, case)
    front.set(case.details, **case.blank)
    fetch(mirror, case)
    parked = next(entry for entry in entries(mirror) if entry.key == case.key)
    approved = threading.Event()

    def approve() -> None:
        decide(mirror, verdicts.approve, parked.id)
        approved.set()

    with mirror.db() as db:
        advisory.lock(db, [f"{case.dataset} {case.key}"])
        thread = threading.Thread(target=approve)
        thread.start()
        while not db.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")):
            assert not approved.wait(0.02), "it took a lock of another name"
    thread.join()
    assert approved.is_set()
    assert value(mirror, case) is None
    with mirror.db() as db:
        *_, last = history.changes(db, dataset=case.dataset, key=case.key)
    assert (last.kind, last.field, last.new) == ("changed", case.field, None)


def test_a_guard_that_trips_on_details_speaks_up(case: Case, front: Edited, mirror: Resources) -> None:
    fetch(mirror, case)
    front.set(case.details, **case.blank)
    with capture_logs() as lines:
        run = fetch(mirror, case)
    alerts = [line for line in lines if line["event"] == "alert guard"]
    assert [(line["guard"], line["field"], line["log_level"]) for line in alerts] == [("blanked", case.field, "error")]
    assert run.error_count == len(entries(mirror)) > 0


def test_what_went_blank_together_is_told_by_the_whole_run(case: Case, front: Edited, mirror: Resources) -> None:
    fetch(mirror, case)
    held = values(mirror, case)
    front.set(case.details, **case.blank)
    with capture_logs() as lines:
        run = fetch_one_by_one(mirror, case)
    assert values(mirror, case) == held
    assert [line["guard"] for line in lines if line["event"] == "alert guard"] == ["blanked"]
    assert (run.status, run.error_count) == ("partial", len(entries(mirror)))
    assert {entry.key for entry in entries(mirror)} == {key for key, value in held.items() if value is not None}


def test_a_few_blanks_are_believed_at_the_end_of_the_run(case: Case, front: Edited, mirror: Resources) -> None:
    fetch(mirror, case)
    before = last_seq(mirror)
    front.set(case.detail, **case.blank)
    run = fetch_one_by_one(mirror, case)
    assert (run.status, run.updated, entries(mirror, None)) == ("success", 1, [])
    with mirror.db() as db:
        told = [change for change in history.changes(db, before) if change.field == case.field]
        assert [(str(change.run_id), change.key, change.new) for change in told] == [(run.run_id, case.key, None)]
    assert value(mirror, case) is None


def values(mirror: Resources, case: Case) -> dict[str, Any]:
    dataset = mirror.datasets[case.dataset]
    with mirror.db() as db:
        keys = db.scalars(select(dataset.key))
        return {key: record.facts[case.field] for key, record in dataset.held(db, keys).items()}


def test_one_history_tells_it_in_one_order(case: Case, front: Edited, mirror: Resources) -> None:
    fetch(mirror, case)
    with mirror.db() as db:
        found = list(history.changes(db))
        assert [change.seq for change in found] == list(range(1, len(found) + 1))
        assert {change.dataset for change in found} == {case.dataset}
        assert list(history.changes(db, found[1].seq, dataset=case.dataset)) == found[2:]
        assert history.last_seq(db) == len(found)


def test_each_field_has_its_origin(case: Case, mirror: Resources) -> None:
    fetch(mirror, case)
    with mirror.db() as db:
        dataset = mirror.datasets[case.dataset]
        held = dataset.held(db, [case.key])[case.key]
        found = {origin.field: origin for origin in provenance.provenance(db, dataset, case.key)}
    assert set(found) == {*held.facts, *held.parts} - set(dataset.derived)
    assert all(len(str(origin.document)) == 64 for origin in found.values() if not origin.derived_from)
    assert all(len(one.sha256) == 64 for origin in found.values() for one in origin.derived_from)
    assert found[case.field].value == held.facts[case.field]


def test_a_sample_is_asked_for_again(case: Case, front: Edited, mirror: Resources) -> None:
    fetch(mirror, case)
    assert looking.sampled(mirror, 5, seed=1, dataset=case.dataset).clean
    front.set(case.detail, **case.blank)
    found = looking.sampled(mirror, 1000, dataset=case.dataset)
    assert {(item.key, item.field) for item in found.mismatches} >= {(case.key, case.field)}


def test_a_replay_may_begin_at_a_time(case: Case, mirror: Resources) -> None:
    fetch(mirror, case)
    now = datetime.now(UTC)
    assert looking.again(mirror, case.dataset, since=now + timedelta(hours=1)) == []
    assert [part.differences for part in looking.again(mirror, case.dataset, since=now - timedelta(hours=1))] == [()]


def test_nobody_is_withdrawn_on_a_list_whose_pages_overlap(case: Case, front: Edited, mirror: Resources) -> None:
    """A row that came twice may have pushed another one over the border of two pages."""
    fetch(mirror, case)
    dataset = mirror.datasets[case.dataset]
    if dataset.list_source not in dataset.paged:
        pytest.skip("its list is one document")
    before = looking.last_seq(mirror)

    def torn(page: Any) -> Any:
        rows = [row for row in page["objects"] if row["url"] not in GONE]
        return page | {"objects": [*rows, rows[0]]}

    front.edit(r"/politicians/\?|/votes/\?session=45-1", torn)
    run = fetch(mirror, case)
    assert run.status == "partial"
    with mirror.db() as db:
        kinds = [change.kind for change in history.changes(db, before)]
    assert "withdrawn" not in kinds
    (told,) = looking.verified(mirror, dataset=case.dataset)
    assert (told.complete, told.torn, len(told.doubled)) == (False, True, 1)
    front.edits.pop()
    fetch(mirror, case)
    (told,) = looking.verified(mirror, dataset=case.dataset)
    assert (told.complete, told.torn, looking.last_seq(mirror)) == (True, False, before)


def test_a_list_that_nobody_saw_for_long_is_told(case: Case, mirror: Resources) -> None:
    from parlex.watch import alerts, monitor

    fetch(mirror, case)
    if mirror.datasets[case.dataset].by_session:
        alone.run_latest(mirror.pipeline, dataset=case.dataset)
    looking.let_pass(mirror, days=40)
    news = alerts.check(mirror)
    assert "stale" in {row.rule for row in news.opened if case.dataset in row.headline}
    now = datetime.now(UTC)
    with mirror.db() as db:
        told = monitor.overview(db, now - timedelta(days=1), now, mirror.datasets, mirror.settings)
    assert not told.healthy
    assert json.dumps(told.to_dict())
