"""The commands about bills."""

from __future__ import annotations

from sqlalchemy.orm import Session

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
