"""An exact, fresh, provable copy of the bills of the Parliament of Canada."""

__version__ = "0.1.0"
