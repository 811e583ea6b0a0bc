"""The names of the three queues. A worker consumes each, so that a tick never waits behind a backfill."""

from __future__ import annotations

CONTROL, FETCH, PERSIST = QUEUES = ("control", "fetch", "persist")
