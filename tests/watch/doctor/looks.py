"""What the tests of the doctor make of its checks."""

from __future__ import annotations

from collections.abc import Iterable

from parlex.watch.doctor.findings import Check, Finding

NAMES_THE_CAUSE = Finding.DATABASE_UNUSABLE.value.advice


def told(checks: Iterable[Check]) -> list[Check]:
    """Those that are not well."""
    return [check for check in checks if check.state != "ok"]


def is_of(check: Check, finding: Finding) -> bool:
    """Whether a check is what the table says of a finding."""
    row = finding.value
    states = {row.state, *(row.otherwise or ())[:1]}
    advised = check.advice == row.advice or row.advice == NAMES_THE_CAUSE
    return check.name.partition(" ")[0] == row.name and check.state in states and advised


def only(checks: Iterable[Check], finding: Finding) -> Check:
    """The one thing that is not well, which is this."""
    [check] = told(checks)
    assert is_of(check, finding), check
    assert "\n" not in check.found
    return check


def named(checks: Iterable[Check], name: str) -> list[Check]:
    return [check for check in checks if check.name.partition(" ")[0] == name]
