"""Threads for what blocks, so that nothing else waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, fail_after, to_thread

T = TypeVar("T")


class Threads:
    """So many of their own. ``patience``: seconds for a thread and for its work together; None: as long as it takes."""

    def __init__(self, most: int, patience: float | None = None) -> None:
        self._limiter, self._patience = CapacityLimiter(most), patience

    async def run(self, make: Callable[[], T]) -> T:
        """TimeoutError after the patience; the work goes on to its end, and nobody hears of it."""
        with fail_after(self._patience):
            return await to_thread.run_sync(make, limiter=self._limiter, abandon_on_cancel=True)
