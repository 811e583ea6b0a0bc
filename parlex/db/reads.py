"""What reads share: how many rows are held at a time, and the columns that an answer is made of."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

PAGE = 1000  # rows held in memory at a time while a long answer streams


def columns(answer: type[Any], table: Any, **others: Any) -> list[Any]:
    """The columns of ``table`` that the fields of ``answer`` are named after, in their order, but for ``others``."""
    return [others[f.name] if f.name in others else getattr(table, f.name) for f in fields(answer)]
