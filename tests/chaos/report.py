"""Put the table of a run of the suite into a page: ``python -m tests.chaos.report RESULTS PAGE``.

``RESULTS`` is what ``PARLEX_TEST_CHAOS_REPORT`` named: one JSON object a try. The page holds two marks; what stands
between them is replaced.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

BEGIN = "<!-- table: made by make chaos -->"
END = "<!-- end of table -->"
HEAD = (
    "| fault | times tried | bills lost | bills wrong | duplicate effects | runs left open | seconds to heal"
    " (median, longest) |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
)


def read(results: Path) -> dict[str, list[dict[str, Any]]]:
    """The tries by fault, in the order in which the faults were first tried."""
    tries: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in results.read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        tries[found["fault"]].append(found)
    return tries


def table(tries: dict[str, list[dict[str, Any]]]) -> str:
    rows = [_row(fault, found) for fault, found in tries.items()]
    total = sum(map(len, tries.values()))
    return HEAD + "".join(rows) + f"\n{total} tries in all.\n"


def _row(fault: str, found: list[dict[str, Any]]) -> str:
    counts = [sum(one[name] for one in found) for name in ("lost", "wrong", "duplicates", "open")]
    seconds = [one["seconds"] for one in found]
    cells = [fault, len(found), *counts, f"{median(seconds):.0f}, {max(seconds):.0f}"]
    return f"| {' | '.join(map(str, cells))} |\n"


def main(results: Path, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{page} lacks {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{table(read(results))}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
