"""A throttle for tests of one source, which no rate holds up."""

from __future__ import annotations


class NullThrottle:
    """No budget, and no memory of what a host said."""

    def acquire(self, host: str, *, background: bool = False) -> None: ...

    def block(self, host: str, seconds: float) -> None: ...

    def failed(self, host: str) -> None: ...

    def succeeded(self, host: str) -> None: ...

    def remaining(self, host: str) -> float | None:
        return None

    def blocked(self, host: str) -> float:
        return 0.0

    def lift(self, host: str) -> bool:
        return False
