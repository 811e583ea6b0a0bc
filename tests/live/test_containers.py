"""The same through pytest-celery's own Redis container, where a Docker engine answers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest
from celery import Celery
from pytest_celery import (
    CeleryBackendCluster,
    CeleryBrokerCluster,
    CeleryTestSetup,
    CeleryTestWorker,
    CeleryWorkerCluster,
    RedisTestBackend,
)

from tests.live.conftest import QUEUES, ProcessContainer, Stack, celery_on

pytestmark = [pytest.mark.live, pytest.mark.docker]


@pytest.fixture(autouse=True, scope="module")
def _engine() -> None:
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command here")
    asked = subprocess.run(["docker", "version"], capture_output=True, text=True, timeout=30, check=False)
    if asked.returncode:
        pytest.skip(f"no Docker engine answers: {asked.stderr.strip()[:100]}")


@pytest.fixture
def celery_broker_cluster(request: pytest.FixtureRequest) -> CeleryBrokerCluster:
    return CeleryBrokerCluster(request.getfixturevalue("celery_redis_broker"))


@pytest.fixture
def celery_backend_cluster(celery_broker_cluster: CeleryBrokerCluster) -> CeleryBackendCluster:
    """The broker's container keeps the results, too, as it does for Parlex."""
    return CeleryBackendCluster(RedisTestBackend(celery_broker_cluster[0].container))


@pytest.fixture
def address(celery_broker_cluster: CeleryBrokerCluster) -> str:
    """Where the container is for this machine, be that a host or itself a container."""
    ip, port = celery_broker_cluster[0].container.get_addr("6379/tcp")
    return f"redis://{ip}:{port}/0"


@pytest.fixture
def celery_setup_app(address: str) -> Iterator[Celery]:
    with celery_on(address) as app:
        yield app


@pytest.fixture
def celery_worker_cluster(stack: Stack, address: str, celery_setup_app: Celery) -> Iterator[CeleryWorkerCluster]:
    stack = replace(stack, environment=stack.environment | {"REDIS_URL": address})
    nodes: list[ProcessContainer] = []
    try:
        for queue in QUEUES:
            nodes.append(
                stack.node(
                    f"{queue}@docker", "worker", "-Q", queue, "-n", f"{queue}@docker", "-c", "1", prompt="ready."
                )
            )
            nodes[-1].start()
        cluster = CeleryWorkerCluster(*(CeleryTestWorker(node, celery_setup_app) for node in nodes))
        assert cluster.ready(), [node.logs() for node in nodes]
        yield cluster
    finally:
        for node in nodes:
            node.teardown()


def test_a_dispatch_through_a_redis_container(celery_setup: CeleryTestSetup, stack: Stack) -> None:
    assert celery_setup.ready(control=True, docker=True)
    sent = celery_setup.app.send_task("parlex.fetch_latest_bills", kwargs={"limit": 10})
    figures = sent.get(timeout=60)
    assert (figures["status"], figures["created"]) == ("success", 10)
    assert stack.value("SELECT count(*) FROM bills") == 10
