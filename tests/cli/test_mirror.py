"""The commands about the mirror itself. What they judge is told in tests/datasets."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from parlex.answers import counted
from parlex.settings import Settings
from tests import rows
from tests.commands import objects, run


@pytest.mark.parametrize("question", [[], ["--after", "40"], ["--limit", "3"], ["--after", "1198", "--limit", "9"]])
def test_a_table_and_json_give_the_same_changes(settings: Settings, db: Session, question: list[str]) -> None:
    db.add_all(rows.change(seq) for seq in range(1, 1201))  # more than one table holds
    db.commit()
    told = [change["seq"] for change in objects(run(settings, "changes", "--json", *question))]
    done = run(settings, "changes", *question)
    shown = [int(line.split()[0]) for line in done.stdout.splitlines() if line[:4].strip().isdigit()]
    assert shown == told
    assert done.stderr == f"{counted(len(told), 'change')}; what comes next: parlex changes --after {told[-1]}\n"


def test_no_change_is_told_so(settings: Settings) -> None:
    assert run(settings, "changes", "--after", "7").stderr == "no changes; what comes next: parlex changes --after 7\n"
