"""Rows to put into a test's database: each builder fills what the test does not care about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from parlex.db.models import (
    BillEventRow,
    BillRow,
    ChangeRow,
    LatestDocumentRow,
    ListingRow,
    PoliticianRow,
    RunKeyRow,
    RunRow,
    SweepRow,
    VoteRow,
)

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)


def bill(number: str = "C-2", **changes: Any) -> BillRow:
    usual = {
        "parliament": 45,
        "session": 1,
        "number": number,
        "title_en": f"An Act of {number}",
        "title_fr": f"Loi de {number}",
        "status_code": "HouseInCommittee",
        "status_en": "At consideration in committee in the House of Commons",
        "status_fr": "À l'étude en comité à la Chambre des communes",
        "bill_type": "House Government Bill",
        "chamber": "house",
        "is_government": True,
        "is_pro_forma": False,
        "first_seen_at": NOON,
        "last_changed_at": NOON,
    }
    return BillRow(**(usual | changes))


def bill_event(entry: str, number: str = "C-2", **changes: Any) -> BillEventRow:
    usual = {"parliament": 45, "session": 1, "number": number, "entry": entry, "kind": "sitting", "chamber": "house"}
    return BillEventRow(**(usual | {"day": NOON.date(), "sitting_number": entry} | changes))


def run(**changes: Any) -> RunRow:
    usual = {
        "run_id": uuid4(),
        "dataset": "bills",
        "source": "legisinfo+openparliament",
        "job": "fetch_latest_bills",
        "params": {},
        "status": "success",
        "carrier": "worker",
        "started_at": NOON,
        "progress_at": NOON,
    }
    return RunRow(**(usual | changes))


def run_key(of: RunRow, key: str, position: int, **changes: Any) -> RunKeyRow:
    usual = {"run_id": of.run_id, "key": key, "position": position, "wants": [], "next_attempt_at": NOON}
    return RunKeyRow(**(usual | changes))


def sweep(swept_at: datetime, **changes: Any) -> SweepRow:
    usual = {
        "run_id": uuid4(),
        "dataset": "bills",
        "source": "legisinfo",
        "scope": "45-1",
        "swept_at": swept_at,
        "believed": True,
        "is_current": True,
        "listed": 1,
        "held": 1,
        "missing": [],
        "extra": [],
        "doubled": [],
        "quarantined": [],
        "fill_rates": {},
    }
    return SweepRow(**(usual | changes))


def listing(number: str, **changes: Any) -> ListingRow:
    usual = {
        "dataset": "bills",
        "source": "legisinfo",
        "scope": "45-1",
        "key": f"45-1 {number}",
        "fingerprint": "f",
        "facts": {},
        "first_seen_at": NOON,
        "seen_at": NOON,
    }
    return ListingRow(**(usual | changes))


def latest_document(number: str, checked_at: datetime, **changes: Any) -> LatestDocumentRow:
    usual = {"dataset": "bills", "key": f"45-1 {number}", "source": "legisinfo", "checked_at": checked_at}
    return LatestDocumentRow(**(usual | changes))


def change(seq: int, **changes: Any) -> ChangeRow:
    usual = {
        "seq": seq,
        "dataset": "bills",
        "key": "45-1 C-2",
        "kind": "changed",
        "field": "status_code",
        "observed_at": NOON,
    }
    return ChangeRow(**(usual | changes))


def vote(number: int, **changes: Any) -> VoteRow:
    usual = {
        "parliament": 45,
        "session": 1,
        "number": number,
        "held_on": NOON.date(),
        "description_en": "A motion",
        "description_fr": "Une motion",
        "result": "Passed",
        "yea_total": 1,
        "nay_total": 0,
        "paired_total": 0,
        "totals_match": True,
        "first_seen_at": NOON,
        "last_changed_at": NOON,
    }
    return VoteRow(**(usual | changes))


def politician(slug: str, **changes: Any) -> PoliticianRow:
    usual = {"slug": slug, "name": slug, "origin": "openparliament", "links": [], "first_seen_at": NOON}
    return PoliticianRow(**(usual | {"last_changed_at": NOON} | changes))
