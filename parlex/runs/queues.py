"""The names of the queues. A worker consumes each, so that a tick never waits behind a backfill; three carry runs."""

from __future__ import annotations

CONTROL, FETCH, PERSIST = RUNS = ("control", "fetch", "persist")
DELIVER = "deliver"  # what subscribers are sent: a receiver may take its time
QUEUES = (*RUNS, DELIVER)
