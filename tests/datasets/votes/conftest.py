"""The House in the edited sandbox."""

from tests.datasets.house import few, front, mirror, sandbox

__all__ = ["few", "front", "mirror", "sandbox"]
