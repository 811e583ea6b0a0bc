"""``/metrics`` for Prometheus: what the rows and the broker say at the moment of the scrape.

Nothing is counted in this process, so it may be restarted, or run twice, and says the same. What cannot be known now
(Redis is away, a job never succeeded) is left out rather than given a number; ``parlex_up`` says which part is away.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from parlex.db import outbox
from parlex.db.models import HeartbeatRow, NotificationRow, QuarantineRow, RunRow, SweepRow
from parlex.errors import Retryable
from parlex.fetching.throttle import host_of, pause
from parlex.mirror import history, identity
from parlex.resources import Resources
from parlex.watch import alerts, beats, broker, monitor, rules

log = structlog.get_logger(__name__)

DAY = timedelta(days=1)
Answer = Callable[[str, list[tuple[str, str]]], object]


class Gauges(Collector):
    """Everything there is to say, asked for at each scrape."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked of the servers when the collector is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        began = time.perf_counter()
        now = datetime.now(UTC)
        rows = _asked(lambda: self._of_rows(now), DBAPIError)
        keys = _asked(lambda: self._of_redis(now), (RedisError, Retryable))
        yield from rows or ()
        yield from keys or ()
        up = _gauge("up", "1 if this part answers, 0 if it is away.", "part")
        up.add_metric(["database"], float(rows is not None))
        up.add_metric(["redis"], float(keys is not None))
        yield up
        yield _plain("scrape_seconds", "Seconds that this scrape took.", time.perf_counter() - began)

    def _of_rows(self, now: datetime) -> list[Metric]:
        with self._resources.db() as db:
            return [
                _freshness(db, now),
                *_ages(monitor.overview(db, now, now, self._resources.datasets, self._resources.settings)),
                _last_success(db),
                *_runs(db, now - DAY),
                _quarantine(db),
                *_heartbeats(db),
                _open_alerts(db),
                _notifications(db),
                _plain("last_change_seq", "The newest sequence number of the history.", history.last_seq(db)),
            ]

    def _of_redis(self, now: datetime) -> list[Metric]:
        settings, throttle = self._resources.settings, self._resources.throttle
        budget = _gauge("budget_left_requests", "Requests that the next minute has room for.", "host")
        for host in sorted({host_of(settings.legisinfo_url), host_of(settings.openparliament_url)}):
            if (left := throttle.remaining(host)) is not None:
                budget.add_metric([host], left)
        wait = _gauge("host_wait_seconds", "Seconds that the host asked to be left alone for, still to come.", "host")
        for host in sorted({host_of(settings.legisinfo_url), host_of(settings.openparliament_url)}):
            wait.add_metric([host], pause(self._resources.redis, host).blocked)
        return [budget, wait, *_broker(broker.look(self._resources.redis, now))]


def _asked(ask: Callable[[], list[Metric]], away: type[Exception] | tuple[type[Exception], ...]) -> list[Metric] | None:
    try:
        return ask()
    except away as error:
        log.warning("metrics are incomplete", error=type(error).__name__)
        return None


# From the rows.


def _freshness(db: Session, now: datetime) -> Metric:
    says = "Seconds since the session's list was last believed."
    found = _gauge("session_freshness_seconds", says, "dataset", "source", "session")
    place = (SweepRow.dataset, SweepRow.source, SweepRow.scope)
    query = select(*place, func.max(SweepRow.swept_at)).where(SweepRow.believed).group_by(*place)
    for *labels, swept_at in db.execute(query):
        found.add_metric(labels, (now - swept_at).total_seconds())
    return found


def _last_success(db: Session) -> Metric:
    found = _gauge("last_success_timestamp_seconds", "When the job's last good run ended, in Unix time.", "job")
    query = select(RunRow.job, func.max(RunRow.finished_at)).where(RunRow.status == "success").group_by(RunRow.job)
    for job, finished_at in db.execute(query):
        if finished_at is not None:
            found.add_metric([job], finished_at.timestamp())
    return found


def _runs(db: Session, since: datetime) -> Iterator[Metric]:
    """The last day's runs. Gauges, since rows are pruned: a counter made of them would run backwards."""
    count = _gauge("runs_last_day", "Runs started in the last 24 hours.", "job", "status")
    requests = _gauge("requests_last_day", "Requests spent by the runs of the last 24 hours.", "job")
    received = _gauge("bytes_last_day", "Bytes received by the runs of the last 24 hours.", "job")
    failed = _gauge("failed_bills_last_day", "Keys that failed in the runs of the last 24 hours.", "job")
    sums = (func.count(), func.sum(RunRow.requests), func.sum(RunRow.bytes), func.sum(RunRow.failed))
    query = select(RunRow.job, RunRow.status, *sums).where(RunRow.started_at >= since)
    totals: dict[str, list[int]] = {}
    for job, status, number, *spent in db.execute(query.group_by(RunRow.job, RunRow.status)):
        count.add_metric([job, status], number)
        totals[job] = [int(before + more) for before, more in zip(totals.get(job, [0, 0, 0]), spent, strict=True)]
    for job, spent in totals.items():
        for metric, value in zip((requests, received, failed), spent, strict=True):
            metric.add_metric([job], value)
    yield from (count, requests, received, failed)


def _ages(overview: monitor.Overview) -> Iterator[Metric]:
    """Of each dataset that is watched. One whose list was never had has no age, but the line of what it may be."""
    age = _gauge("list_age_seconds", "Seconds since the dataset's current list was last believed.", "dataset")
    most = _gauge("list_stale_after_seconds", "How old that list may be before it is news.", "dataset")
    stuck = _gauge("stuck_runs", "Open runs that nothing moves.", "dataset")
    words = _gauge("unknown_words", "Words of the sources, as a status, that nobody has named.", "dataset")
    for report in overview.reports:
        if report.freshness_seconds is not None:
            age.add_metric([report.dataset], report.freshness_seconds)
        most.add_metric([report.dataset], report.stale_after.total_seconds())
        stuck.add_metric([report.dataset], len(report.stuck_runs))
        words.add_metric([report.dataset], len(report.unknown_words))
    yield from (age, most, stuck, words)
    labels = ("dataset", "session", "what")
    known = _gauge("freshness_age_seconds", "Seconds since the oldest part of it was looked at.", *labels)
    promised = _gauge("freshness_promised_seconds", "How old that may be, as promised.", *labels)
    for line in (line for report in overview.reports for line in report.freshness):
        for metric, value in ((known, line.age_seconds), (promised, line.promised_seconds)):
            metric.add_metric([line.dataset, line.session or "", line.what], value)
    yield from (known, promised)


def _quarantine(db: Session) -> Metric:
    found = _gauge("quarantine_open", "Rows of the quarantine that wait for a person.", "dataset", "guard")
    groups = (QuarantineRow.dataset, QuarantineRow.guard)
    query = select(*groups, func.count()).where(QuarantineRow.state == "open").group_by(*groups)
    for dataset, guard, count in db.execute(query):
        found.add_metric([dataset, guard], count)
    return found


def _heartbeats(db: Session) -> Iterator[Metric]:
    """The rows of one table that are of three kinds. By the database's clock, which wrote them."""
    ticked = _gauge("heartbeat_age_seconds", "Seconds since a worker took up a tick of beat's heartbeat.", "name")
    own = _gauge("beat_age_seconds", "Seconds since this beat, of which there is to be one, left a heartbeat.", "beat")
    strange = _gauge("stranger_age_seconds", "Seconds since a message of this other mirror was refused.", "mirror")
    kinds = {beats.PREFIX: own, identity.PREFIX: strange}
    age = func.extract("epoch", func.clock_timestamp() - HeartbeatRow.seen_at)
    for name, seconds in db.execute(select(HeartbeatRow.name, age)):
        prefix = next((prefix for prefix in kinds if name.startswith(prefix)), "")
        kinds.get(prefix, ticked).add_metric([name.removeprefix(prefix)], float(seconds))
    yield from (ticked, own, strange)


def _open_alerts(db: Session) -> Metric:
    """Every rule has its line, so that 0 means well and not unknown."""
    found = _gauge("alerts_open", "Alerts that are open.", "rule", "severity")
    rows = alerts.alerts(db)
    for rule in rules.RULES:
        found.add_metric([rule.name, rule.severity], sum(row.rule == rule.name for row in rows))
    return found


def _notifications(db: Session) -> Metric:
    found = _gauge("notifications_undelivered", "Messages to people that have not arrived.", "state")
    for state, count in zip(("waiting", "given_up"), outbox.counts(db, NotificationRow), strict=True):
        found.add_metric([state], count)
    return found


# From the broker.


def _broker(seen: broker.Broker) -> Iterator[Metric]:
    depth = _gauge("queue_messages", "Messages that wait in the queue.", "queue")
    age = _gauge("queue_oldest_seconds", "Seconds that the queue's oldest message has waited.", "queue")
    for queue in seen.queues:
        depth.add_metric([queue.name], queue.depth)
        if queue.depth == 0 or queue.oldest_seconds is not None:
            age.add_metric([queue.name], queue.oldest_seconds or 0.0)
    yield from (depth, age)
    yield _plain("unacked_messages", "Messages that workers hold, run or put off.", seen.unacked)
    if seen.unacked == 0 or seen.unacked_oldest_seconds is not None:
        oldest = seen.unacked_oldest_seconds or 0.0
        yield _plain("unacked_oldest_seconds", "Seconds that a worker has held the oldest of these.", oldest)


def _gauge(name: str, says: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"parlex_{name}", says, labels=labels)


def _plain(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(f"parlex_{name}", says, value=value)


# Serving.


class _Server(ThreadingMixIn, WSGIServer):
    """A scrape that waits for a server that is away does not keep the health check waiting."""

    daemon_threads = True
    allow_reuse_address = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def serving(resources: Resources, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Serve ``/metrics`` and ``/healthz`` (this process lives) while the block lasts; the port. OSError if it is
    taken."""
    registry = CollectorRegistry()
    registry.register(Gauges(resources))

    def answer(environ: dict[str, Any], start: Answer) -> list[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            start("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
            return [generate_latest(registry)]
        known = environ["PATH_INFO"] == "/healthz"
        start("200 OK" if known else "404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"ok\n" if known else b"see /metrics\n"]

    server = make_server(host, port, answer, _Server, _Quiet)
    thread = threading.Thread(target=server.serve_forever, name="metrics")
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def watch(resources: Resources, stopped: Callable[[float], bool], *, every: float = 60.0) -> None:
    """Check the alerts from outside the schedule until ``stopped(seconds)``: who else would tell that beat is
    silent?"""
    watching = alerts.Watch(resources)
    while not stopped(every):
        watching.look()
