"""The commands about bills."""

from __future__ import annotations

from datetime import date

from sqlalchemy.orm import Session

from parlex.db.models import BillEventRow, BillLinkRow, BillPublicationRow, SimilarBillRow
from parlex.settings import Settings
from tests import rows
from tests.commands import objects, run


def test_a_bill_is_shown_with_its_summary_last_and_without_tags(settings: Settings, db: Session) -> None:
    html = (
        "<div><p>Part 1&nbsp;amends\n the <i>Customs&#160;Act</i> &amp; others.</p><br/><br/><br/>"
        "It would<ul><li>open mail</li><li>if 1 &lt; 2</li></ul></div>\n"
    )
    db.add(rows.bill(summary_en=html))
    db.commit()
    shown = [line.rstrip() for line in run(settings, "bill", "45-1", "C-2").stdout.splitlines()]
    assert shown[shown.index("Summary") :] == [
        "Summary",
        "Part 1 amends the Customs Act & others.",
        "",
        "It would",
        "open mail",
        "if 1 < 2",
    ]
    assert sum("Summary" in line for line in shown) == 1
    (told,) = objects(run(settings, "bill", "45-1", "C-2", "--json"))
    assert told["summary_en"] == html


def test_a_question_that_nothing_matches_is_no_advice_to_fetch(settings: Settings, db: Session) -> None:
    unheld = run(settings, "bills", "--session", "45-1", "--status", "SenateAtReportStage").stderr
    assert "to fetch: parlex backfill 45-1" in unheld
    db.add(rows.bill())
    db.commit()
    unmatched = run(settings, "bills", "--session", "45-1", "--status", "SenateAtReportStage").stderr
    assert unmatched == "no bill that is held matches\n"


def test_a_bill_is_shown_with_what_happened_last_and_its_texts(settings: Settings, db: Session) -> None:
    db.add(rows.bill(form="appropriation", form_en="Appropriation", sponsor_name="A B", sponsor_riding_en="Nepean"))
    db.flush()
    key = {"parliament": 45, "session": 1, "number": "C-2"}
    for day in range(1, 11):
        told = {"kind": "sitting", "chamber": "house", "day": date(2026, 6, day), "name_en": f"Debate {day}"}
        db.add(BillEventRow(**key, entry=str(day), sitting_number=str(100 + day), **told))
    pdf = "https://www.parl.ca/C-2_1.PDF"
    version = {"version": "first_reading", "publication_id": 7, "name_en": "First Reading", "viewer_url": "https://v/7"}
    db.add(BillPublicationRow(**key, entry="first_reading", pdf_url=pdf, **version))
    db.add(BillLinkRow(**key, entry="a", kind="Press Release", title_en="A release", url_en="https://x.test/"))
    db.add(SimilarBillRow(**key, entry="44-1 C-9", similar_key="44-1 C-9"))
    db.commit()
    shown = run(settings, "bill", "45-1", "C-2").stdout
    assert "What happened, the last 8 of 10 (--whole)" in shown
    assert "Debate 3" in shown
    assert "Debate 2" not in shown
    assert all(word in shown for word in ("Appropriation", "A B, Nepean", "44-1 C-9", "First Reading", "C-2_1.PDF"))
    assert "A release" not in shown
    whole = run(settings, "bill", "45-1", "C-2", "--whole").stdout
    assert all(word in whole for word in ("Debate 2", "A release"))
    (told_json,) = objects(run(settings, "bill", "45-1", "C-2", "--json"))
    assert [event["sitting_number"] for event in told_json["events"]] == [str(day) for day in range(101, 111)]
    assert (told_json["similar"], told_json["links"][0]["kind"]) == ([{"similar_key": "44-1 C-9"}], "Press Release")
    (line,) = objects(run(settings, "bills", "--json"))
    assert line["form"] == "appropriation"
