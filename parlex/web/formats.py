"""What a list is written as: JSON, one object a line, or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from parlex.web.bodies import Body

JSON, NDJSON, CSV, ATOM, EVENTS = "json", "ndjson", "csv", "atom", "events"
MEDIA_TYPES = {
    JSON: "application/json",
    NDJSON: "application/x-ndjson",
    CSV: "text/csv; charset=utf-8",
    ATOM: "application/atom+xml",
    EVENTS: "text/event-stream",
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
    return "".join(f"{row}\n" for row in rows).encode()


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
