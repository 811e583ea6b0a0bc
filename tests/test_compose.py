"""docker-compose.yml as it is, on a real engine, with a .env made from .env.example: ``make compose-test``.

The stack runs against its own sandbox service. Each test leaves it up and well.
"""

from __future__ import annotations

import json
import secrets
import shlex
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
WORKERS = ("worker-control", "worker-fetch", "worker-persist", "worker-deliver")
SERVICES = ("postgres", "redis", *WORKERS, "beat", "flower", "metrics", "web", "sandbox")
IMAGE = "parlex:compose-test"

pytestmark = [pytest.mark.compose, pytest.mark.docker]


@dataclass(frozen=True)
class Stack:
    command: tuple[str, ...]
    flower_port: int
    flower_auth: str
    metrics_port: int
    web_port: int

    def compose(self, *words: str, check: bool = True, timeout: float = 600) -> str:
        done = subprocess.run(
            [*self.command, *words], cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0 or not check, f"{' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def up(self) -> None:
        self.compose("up", "-d", "--build", *SERVICES)

    def parlex(self, *words: str) -> list[dict[str, Any]]:
        """The JSON lines that a command prints inside the stack."""
        answer = self.compose("exec", "-T", "worker-control", "parlex", *words, "--json")
        return [json.loads(line) for line in answer.splitlines() if line.startswith("{")]

    def fetch(self, *words: str) -> dict[str, Any]:
        """The figures of one fetch through the workers."""
        [figures] = self.parlex("fetch", "--dispatch", *words)
        return figures

    def bills(self) -> dict[str, str]:
        return {f"{b['parliament']}-{b['session']} {b['number']}": b["last_changed_at"] for b in self.parlex("bills")}

    def flower(self, path: str, *, signed_in: bool = True) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.flower_port}{path}")
        if signed_in:
            request.add_header("Authorization", f"Basic {b64encode(self.flower_auth.encode()).decode()}")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def inspect(self, service: str, template: str) -> str:
        container = self.compose("ps", "-a", "-q", service).split()[0]
        return subprocess.run(
            ["docker", "inspect", "-f", template, container], capture_output=True, text=True, check=True
        ).stdout.strip()

    def consumes(self, worker: str) -> bool:
        done = [*self.command, "exec", "-T", worker, "python", "-m", "workers.health"]
        return subprocess.run(done, cwd=ROOT, capture_output=True, timeout=120, check=False).returncode == 0

    def wait_for_workers(self) -> None:
        for worker in WORKERS:
            until(lambda name=worker: self.consumes(name), f"{worker} consumes its queue")


def until(condition: Callable[[], Any], what: str, seconds: float = 240) -> Any:
    """The first true answer; fails after ``seconds`` with what was waited for."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain: {what}"
        time.sleep(1)
    return answer


def compose_command() -> list[str]:
    """docker-compose or the plugin of that name; skips with the reason where there is none, or no engine."""
    if shutil.which("docker") is None:
        pytest.skip("docker is not installed")
    engine = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
    if engine.returncode:
        pytest.skip(f"no Docker engine answers: {(engine.stderr.strip().splitlines() or ['?'])[-1]}")
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    pytest.skip("neither docker-compose nor docker compose is installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_environment(file: Path, **changes: str) -> None:
    """A .env from the example, with these lines changed or added."""
    lines = dict(line.split("=", 1) for line in (ROOT / ".env.example").read_text().splitlines() if line[:1].isalpha())
    file.write_text("".join(f"{name}={value}\n" for name, value in (lines | changes).items()))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    command = compose_command()
    environment = tmp_path_factory.mktemp("compose") / ".env"
    port, metrics_port, web_port, auth = free_port(), free_port(), free_port(), f"parlex:{secrets.token_hex(8)}"
    write_environment(
        environment,
        PARLEX_CONTACT="tests@example.org",
        POSTGRES_PASSWORD=secrets.token_hex(8),
        REDIS_PASSWORD=secrets.token_hex(8),
        FLOWER_BASIC_AUTH=auth,
        FLOWER_PORT=str(port),
        METRICS_PORT=str(metrics_port),
        WEB_PORT=str(web_port),
        PARLEX_IMAGE=IMAGE,
        PARLEX_LEGISINFO_URL="http://sandbox:8702",
        PARLEX_OPENPARLIAMENT_URL="http://sandbox:8701",
        PARLEX_LEGISINFO_RATE="0",
        PARLEX_OPENPARLIAMENT_RATE="0",
    )
    project = ("-p", f"parlextest{secrets.token_hex(4)}", "--env-file", str(environment), "--profile", "sandbox")
    stack = Stack((*command, *project), port, auth, metrics_port, web_port)
    try:
        stack.up()
        stack.wait_for_workers()
        yield stack
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "10")
        subprocess.run(["docker", "image", "rm", IMAGE], capture_output=True, check=False)


def test_every_service_reports_itself_healthy(stack: Stack) -> None:
    for service in SERVICES:
        until(lambda name=service: stack.inspect(name, "{{.State.Health.Status}}") == "healthy", f"{service} healthy")


def test_containers_have_no_more_than_they_need(stack: Stack) -> None:
    """No rights to gain, a root file system that cannot be written to, bounds for memory and logs."""
    for service in SERVICES:
        told = json.loads(stack.inspect(service, "{{json .HostConfig}}"))
        assert "no-new-privileges:true" in told["SecurityOpt"], service
        assert told["CapDrop"] == ["ALL"], service
        assert set(told["CapAdd"] or []) <= {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}, service
        assert not told["CapAdd"] or service in ("postgres", "redis"), service
        assert told["ReadonlyRootfs"], service
        assert 0 < told["Memory"] <= 2**30, service
        assert told["LogConfig"]["Config"].keys() == {"max-size", "max-file"}, service
    for service in ("worker-fetch", "beat", "flower"):
        write = ["exec", "-T", service, "sh", "-c", "touch /app/x 2>/dev/null || echo refused"]
        assert "refused" in stack.compose(*write), service


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"PARLEX_CONTACT": ""}, "PARLEX_CONTACT"),
        ({"POSTGRES_PASSWORD": ""}, "POSTGRES_PASSWORD"),
        ({"REDIS_PASSWORD": ""}, "REDIS_PASSWORD"),
        ({"FLOWER_BASIC_AUTH": ""}, "FLOWER_BASIC_AUTH"),
        ({"POSTGRES_PASSWORD": "change-me-postgres"}, "DATABASE_URL: its password is the example's"),
        ({"REDIS_PASSWORD": "change-me-redis"}, "REDIS_URL: its password is the example's"),
        ({"FLOWER_BASIC_AUTH": "parlex:change-me-flower"}, "FLOWER_BASIC_AUTH: its password is the example's"),
        ({"PARLEX_CONTACT": "foo"}, "PARLEX_CONTACT: must be an e-mail address or a page"),
    ],
)
def test_an_example_s_values_stop_the_start_and_are_named(
    changes: dict[str, str], named: str, stack: Stack, tmp_path: Path
) -> None:
    """Before a server is made with them: the first service looks, and the servers wait for it."""
    good = {"POSTGRES_PASSWORD": "x", "REDIS_PASSWORD": "x", "FLOWER_BASIC_AUTH": "a:b", "PARLEX_CONTACT": "a@b.org"}
    write_environment(tmp_path / ".env", **(good | {"PARLEX_IMAGE": IMAGE} | changes))
    project = f"parlextest{secrets.token_hex(4)}"
    command = [*compose_command(), "-p", project, "--env-file", str(tmp_path / ".env")]
    run = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": 600, "check": False}
    try:
        up = subprocess.run([*command, "up", "-d", "--no-build"], **run)  # type: ignore[call-overload]
        assert up.returncode != 0
        logs = subprocess.run([*command, "logs", "check"], **run)  # type: ignore[call-overload]
        assert named in up.stderr + logs.stdout + logs.stderr
        made = subprocess.run(["docker", "ps", "-a", "-q", "-f", f"name={project}_postgres"], **run)  # type: ignore[call-overload]
        assert not made.stdout.strip()
    finally:
        subprocess.run([*command, "down", "--volumes", "--timeout", "5"], **run)  # type: ignore[call-overload]


def test_nothing_of_ours_runs_as_root_and_no_compiler_or_test_tool_is_aboard(stack: Stack) -> None:
    tools = "for tool in cc gcc pytest mypy ruff; do command -v $tool && exit 1; done; id -u"
    assert int(stack.compose("exec", "-T", "worker-fetch", "sh", "-c", tools)) > 0


def test_a_fetch_ends_with_rows_in_the_database(stack: Stack) -> None:
    figures = stack.fetch("--session", "45-1")
    assert figures["status"] == "success"
    assert figures["failed"] == 0
    assert any(key.startswith("45-1 ") for key in stack.bills())
    assert stack.parlex("runs")[0]["run_id"] == figures["run_id"]


def test_flower_shows_workers_and_queues_to_those_who_sign_in(stack: Stack) -> None:
    workers = until(lambda: len(found := stack.flower("/api/workers?refresh=1")) == 4 and found, "four workers")
    assert {name.split("@")[0] for name in workers} == {"control", "deliver", "fetch", "persist"}
    queues = stack.flower("/api/queues/length")["active_queues"]
    assert {"control", "deliver", "fetch", "persist"} <= {queue["name"] for queue in queues}
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        stack.flower("/api/workers", signed_in=False)
    refused.value.close()


def test_metrics_tell_of_the_mirror(stack: Stack) -> None:
    stack.fetch("--session", "45-1")
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.metrics_port}/metrics", timeout=20) as answer:
        told = answer.read().decode()
    for line in ('parlex_up{part="database"} 1.0', 'parlex_up{part="redis"} 1.0', 'session="45-1"'):
        assert line in told


def test_what_is_held_is_served(stack: Stack) -> None:
    stack.fetch("--session", "45-1")
    address = f"http://127.0.0.1:{stack.web_port}/api/v1/bills?session=45-1"
    with urllib.request.urlopen(address, timeout=20) as answer:
        assert json.load(answer)["data"]


def test_beat_ticks_and_a_second_beat_waits(stack: Stack) -> None:
    until(lambda: "keep-house" in stack.compose("logs", "beat"), "beat sends its ticks")
    stack.compose("up", "-d", "--no-build", "--no-recreate", "--scale", "beat=2", "beat")
    second = ["exec", "-T", "--index=2", "beat", "python", "-c"]
    # The first of its processes is flock, which becomes celery only once it has the lock.
    name = "import pathlib; print([f.read_text() for f in pathlib.Path('/proc').glob('[0-9]*/comm')])"
    until(lambda: "flock" in stack.compose(*second, name, check=False), "the second beat waits for the lock")
    assert "celery" not in stack.compose(*second, name)
    stack.compose("up", "-d", "--no-build", "--no-recreate", "--scale", "beat=1", "beat")


def test_a_killed_worker_comes_back_and_takes_what_waits(stack: Stack) -> None:
    born = stack.inspect("worker-fetch", "{{.State.StartedAt}}")
    stack.compose("exec", "-T", "worker-fetch", "sh", "-c", "kill -9 -1", check=False)
    call = ("celery", "-A", "workers.app", "call", "parlex.fetch_session_bills", "--args=[44, 1]")
    stack.compose("exec", "-T", "worker-control", *call)
    until(lambda: any(key.startswith("44-1 ") for key in stack.bills()), "the bills of 44-1 are held")
    assert stack.inspect("worker-fetch", "{{.State.StartedAt}}") > born


def test_workers_stop_in_their_time(stack: Stack) -> None:
    """Exit code 0: they stopped themselves; 137 would mean that they were killed after the grace period."""
    stack.compose("stop", *WORKERS)
    assert {stack.inspect(worker, "{{.State.ExitCode}}") for worker in WORKERS} == {"0"}
    stack.compose("start", *WORKERS)
    stack.wait_for_workers()


def test_the_backup_of_the_page_restores(stack: Stack, tmp_path: Path) -> None:
    """The lines of docs/deployment.md as they stand there, with this stack's docker-compose."""
    stack.fetch("--session", "45-1")
    held = stack.bills()
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    blocks = [rest.split("```")[0] for rest in page.split("```sh\n")[1:]]
    lines = next(block for block in blocks if "pg_restore" in block)
    # `command` reaches the program that the function stands before.
    here = f"cd {shlex.quote(str(ROOT))} && command {shlex.join(stack.command)}"
    command = ["bash", "-euo", "pipefail", "-c", f'docker-compose() ({here} "$@")\n{lines}']
    done = subprocess.run(
        command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    stack.wait_for_workers()
    assert stack.bills() == held


def test_volumes_survive_a_restart_and_a_down(stack: Stack) -> None:
    stack.fetch("--session", "45-1")
    held = stack.bills()
    assert held
    known = set(until(lambda: stack.flower("/api/tasks?limit=1000"), "Flower knows tasks"))
    stack.compose("restart")
    stack.wait_for_workers()
    assert stack.bills() == held
    stack.compose("down")
    stack.up()
    stack.wait_for_workers()
    assert stack.bills() == held
    assert known <= set(until(lambda: stack.flower("/api/tasks?limit=10000"), "Flower knows its tasks again"))
    again = stack.fetch("--session", "45-1")
    assert (again["status"], again["created"], again["updated"]) == ("success", 0, 0)
