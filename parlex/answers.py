"""The base of what reads give to a person or a program, how a value becomes JSON, how a count and a time are said."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any
from uuid import UUID


class Record:
    """Base of the answers: a frozen dataclass whose fields are the keys of its JSON, in order."""

    __slots__ = ()

    def as_json(self) -> dict[str, Any]:
        return {field.name: as_json(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]


def as_json(value: Any) -> Any:
    """A value as JSON has it; an instant in UTC whatever zone the connection has, always with six digits.

    Where PostgreSQL makes the JSON it spells them alike: ``parlex/datasets/served.py``.
    """
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Record):
        return value.as_json()
    if isinstance(value, tuple):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return value


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 bill``, ``1,200 bills``; ``many`` where it is not ``one`` with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def plain(value: Any) -> Any:
    """An enum's value; anything else as it is."""
    return value.value if isinstance(value, Enum) else value


_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def span(seconds: float) -> str:
    """``90 s``, ``14 min``, ``5.5 h``."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 2 * size), (1, "s"))
    return f"{round(seconds / size, 1):g} {unit}" if size > 60 else f"{seconds / size:.0f} {unit}"
