"""The composition root: everything a process needs, built from its settings on first use."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property

from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from parlex import __version__
from parlex.datasets.bills.dataset import BillDataset
from parlex.datasets.bills.legisinfo import Legisinfo
from parlex.datasets.bills.openparliament import OpenParliament
from parlex.datasets.politicians.dataset import PoliticianDataset
from parlex.datasets.politicians.source import Politicians
from parlex.datasets.votes.dataset import VoteDataset
from parlex.datasets.votes.source import Votes
from parlex.db.engine import build_engine
from parlex.fetching.http import Client
from parlex.fetching.throttle import RedisThrottle, Throttle, host_of
from parlex.local.embedded import Addresses
from parlex.mirror.archive import Archive, open_archive
from parlex.runs.work import Dataset
from parlex.settings import Settings


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

    @cached_property
    def throttle(self) -> Throttle:
        rates = {
            host_of(self.settings.legisinfo_url): self.settings.legisinfo_rate,
            host_of(self.settings.openparliament_url): self.settings.openparliament_rate,
        }
        return RedisThrottle(self.redis, rates, retry_delay=self.settings.retry_delay)

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
        return open_archive(url.get_secret_value()) if url else None

    @cached_property
    def datasets(self) -> dict[str, Dataset]:
        site = self.settings.openparliament_url
        every: list[Dataset] = [
            BillDataset(
                Legisinfo(self.client, self.settings.legisinfo_url), OpenParliament(self.client, site), self.settings
            ),
            PoliticianDataset(Politicians(self.client, site), self.settings),
            VoteDataset(Votes(self.client, site), self.settings),
        ]
        return {dataset.name: dataset for dataset in every}

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
