"""The composition root: everything a process needs, built from its settings on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from parlex import __version__
from parlex.datasets.bills import legisinfo
from parlex.datasets.bills.dataset import BillDataset
from parlex.datasets.bills.legisinfo import Legisinfo
from parlex.datasets.bills.openparliament import OpenParliament
from parlex.datasets.dataset import Dataset
from parlex.datasets.politicians.dataset import PoliticianDataset
from parlex.datasets.politicians.source import Politicians
from parlex.datasets.votes.dataset import VoteDataset
from parlex.datasets.votes.source import Votes
from parlex.db import advisory
from parlex.db.engine import build_engine
from parlex.fetching import pages
from parlex.fetching.http import Client
from parlex.fetching.throttle import RedisThrottle, Throttle, host_of
from parlex.local.embedded import Addresses
from parlex.mirror.guards import Thresholds
from parlex.runs.pipeline import Pipeline
from parlex.runs.run_log import Patience
from parlex.settings import Settings

if TYPE_CHECKING:
    from parlex.mirror.archive import Archive


def _bills(of: Resources) -> Dataset:
    spine = Legisinfo(of.client, of.settings.legisinfo_url)
    companion = OpenParliament(of.client, of.settings.openparliament_url)
    rates = {legisinfo.NAME: of.settings.legisinfo_rate, pages.NAME: of.settings.openparliament_rate}
    return BillDataset(spine, companion, of.thresholds, rates)


def _politicians(of: Resources) -> Dataset:
    site = Politicians(of.client, of.settings.openparliament_url)
    return PoliticianDataset(site, of.thresholds, {pages.NAME: of.settings.openparliament_rate})


def _votes(of: Resources) -> Dataset:
    site = Votes(of.client, of.settings.openparliament_url)
    return VoteDataset(site, of.thresholds, {pages.NAME: of.settings.openparliament_rate})


# What the mirror keeps, in the order in which people are told of it. One more is a folder in
# ``datasets/`` and a line here.
DATASETS: list[Callable[[Resources], Dataset]] = [_bills, _politicians, _votes]


class Resources:
    """Built lazily, so that a forked worker opens its own connections. Close it when the process ends."""

    def __init__(self, settings: Settings, addresses: Addresses) -> None:
        self.settings = settings
        self.addresses = addresses

    @cached_property
    def engine(self) -> Engine:
        return build_engine(self.addresses.database_url)

    @contextmanager
    def db(self) -> Iterator[Session]:
        """One transaction: committed at the end, rolled back on an error."""
        with Session(self.engine, expire_on_commit=False) as db, db.begin():
            yield db

    @cached_property
    def redis(self) -> Redis:
        """For the budget of the hosts. The timeouts keep a silent server from holding a worker for ever."""
        return Redis.from_url(self.addresses.redis_url, socket_timeout=10, socket_connect_timeout=5)

    @property
    def hosts(self) -> dict[str, float]:
        """The hosts of the sources, with the requests that each may be asked in a minute; 0 without a limit."""
        return {
            host_of(self.settings.legisinfo_url): self.settings.legisinfo_rate,
            host_of(self.settings.openparliament_url): self.settings.openparliament_rate,
        }

    @cached_property
    def throttle(self) -> Throttle:
        return RedisThrottle(self.redis, self.hosts, retry_delay=self.settings.retry_delay)

    @cached_property
    def client(self) -> Client:
        contact = f" (+{self.settings.contact})" if self.settings.contact else ""
        return Client(
            user_agent=f"parlex/{__version__}{contact}",
            throttle=self.throttle,
            connect_timeout=self.settings.connect_timeout,
            read_timeout=self.settings.read_timeout,
            max_body_bytes=self.settings.max_body_bytes,
        )

    @cached_property
    def fetchers(self) -> ThreadPoolExecutor:
        """The threads in which sources are asked; as many requests are in flight at most."""
        return ThreadPoolExecutor(self.settings.fetch_threads, "fetch")

    @cached_property
    def archive(self) -> Archive | None:
        """The long-term store of documents; None where the operator named none."""
        url = self.settings.archive_url
        if url is None:
            return None
        from parlex.mirror.archive import open_archive  # five megabytes, for who has an archive

        return open_archive(url.get_secret_value())

    @cached_property
    def datasets(self) -> dict[str, Dataset]:
        every = [build(self) for build in DATASETS]
        return {dataset.name: dataset for dataset in every}

    @property
    def thresholds(self) -> Thresholds:
        """What the guards of every dataset go by."""
        settings = self.settings
        return Thresholds(settings.guard_max_shrink, settings.guard_max_blanked, settings.guard_min_rows)

    @cached_property
    def pipeline(self) -> Pipeline:
        """What moves the runs. Its threads are built when the first source is asked."""
        settings = self.settings
        patience = Patience(
            lease=timedelta(seconds=settings.lease_seconds),
            retry_delay=settings.retry_delay,
            resend_after=timedelta(seconds=settings.resend_after_seconds),
            abandon_after=timedelta(minutes=settings.abandon_after_minutes),
            run_deadline=timedelta(minutes=settings.run_deadline_minutes),
        )
        return Pipeline(
            self.db,
            self.datasets,
            patience,
            keeping=lambda name: advisory.kept(self.engine, name),
            fetchers=lambda: self.fetchers,
            require_contact=settings.require_contact,
        )

    def close(self) -> None:
        """Close what was opened, and nothing else: a property that was never read was never built."""
        if "fetchers" in self.__dict__:
            self.fetchers.shutdown()
        if "client" in self.__dict__:
            self.client.close()
        if "redis" in self.__dict__:
            self.redis.close()
        if "engine" in self.__dict__:
            self.engine.dispose()


@contextmanager
def open_database(database_url: str) -> Iterator[Session]:
    """A session for what needs the database alone, and no other part; nothing is kept open after it."""
    engine = build_engine(database_url)
    try:
        with Session(engine) as db:
            yield db
    finally:
        engine.dispose()
