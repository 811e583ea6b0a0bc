"""What a list is written as: JSON, one object a line, or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from parlex.serving.bodies import Body
from parlex.serving.problems import Problem

JSON, NDJSON, CSV, ATOM, EVENTS = "json", "ndjson", "csv", "atom", "events"
MEDIA_TYPES = {
    JSON: "application/json",
    NDJSON: "application/x-ndjson",
    CSV: "text/csv; charset=utf-8",
    ATOM: "application/atom+xml",
    EVENTS: "text/event-stream",
}

_ACCEPTED = {
    "application/json": JSON,
    "application/x-ndjson": NDJSON,
    "text/csv": CSV,
    "application/atom+xml": ATOM,
    "text/event-stream": EVENTS,
}


def listed(
    rows: Sequence[str],
    next_address: str | None,
    format: str,
    columns: Sequence[str],
    count: int | None = None,
    next_after: int | None = None,
) -> Body:
    """A page of a list. Where a format has no room for the address of the next one, ``Link`` tells it.

    ``next_after``: of a list that grows at its end, the number to go on from once there is more.
    """
    headers = {"Link": f'<{next_address}>; rel="next"'} if next_address else {}
    if next_after is not None:
        headers["Parlex-Next-After"] = str(next_after)
    told = {"count": count, "next_after": next_after}
    more = {name: number for name, number in told.items() if number is not None}
    return Body(_WRITERS[format](rows, next_address, columns, more), MEDIA_TYPES[format], headers)


def _as_json(rows: Sequence[str], next_address: str | None, columns: Sequence[str], more: Mapping[str, int]) -> bytes:
    numbers = "".join(f',"{name}":{number}' for name, number in more.items())
    return f'{{"data":[{",".join(rows)}],"next":{json.dumps(next_address)}{numbers}}}'.encode()


def _as_ndjson(rows: Sequence[str], next_address: str | None, columns: Sequence[str], more: Mapping[str, int]) -> bytes:
    return "".join(f"{one_line(row)}\n" for row in rows).encode()


def one_line(row: str) -> str:
    """JSON without what some readers take for the end of a line, Python's ``splitlines`` among them."""
    return row.translate(_BREAKS)


_BREAKS = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}


def _as_csv(rows: Sequence[str], next_address: str | None, columns: Sequence[str], more: Mapping[str, int]) -> bytes:
    return table([json.loads(row) for row in rows], columns)


_WRITERS = {JSON: _as_json, NDJSON: _as_ndjson, CSV: _as_csv}


def table(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> bytes:
    """Rows as CSV (RFC 4180): a header, one line a row; null is nothing, a list or an object is JSON."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def accepted(accept: str, offered: tuple[str, ...]) -> str:
    """What Accept prefers (RFC 9110, 12.5.1), the first offered where it does not care. Problem 406 for none."""
    best: tuple[float, str] | None = None
    for each in accept.split(","):
        name, *parameters = (part.strip().lower() for part in each.split(";"))
        weight = next((_weight(one[2:]) for one in parameters if one.startswith("q=")), 1.0)
        chosen = _ACCEPTED.get(name)
        if name in ("*/*", "application/*"):
            chosen = offered[0]
        if chosen in offered and weight > 0 and (best is None or weight > best[0]):
            best = (weight, str(chosen))
    if best is None:
        raise Problem(406, f"none of {accept:.200} is offered; there is: {', '.join(offered)}")
    return best[1]


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
