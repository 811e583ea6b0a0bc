"""What was read, for as long as the history has no newer line of what covers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from parlex.datasets.served import Cover
from parlex.serving.tags import Poller

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """One thing, by the tag of ``covers``, which is taken before it is read."""

    def __init__(self, poller: Poller, *covers: Cover) -> None:
        self._poller, self._covers = poller, covers
        self._held: tuple[str, Value] | None = None

    def read(self, make: Callable[[], Value]) -> Value:
        """What is kept, else what ``make`` makes. Before the history was first read nothing is kept."""
        tag, held = self._poller.tag(self._covers), self._held
        if held is not None and held[0] == tag:
            return held[1]
        made = make()
        self._held = (tag, made) if tag is not None else None
        return made
