"""``parlex up`` as real processes: servers, workers, beat and Flower."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from parlex.db.engine import build_engine
from parlex.errors import ConfigurationError
from parlex.local import embedded
from parlex.local.locks import wait_until
from parlex.local.supervisor import QUEUES, Stack
from parlex.settings import Settings

pytestmark = pytest.mark.live

UP = """
import sys
from pathlib import Path
from parlex.local import supervisor
from parlex.settings import Settings
sys.exit(supervisor.run(Settings(home=Path(sys.argv[1])), flower_port=0, web_port=0))
"""
READY = "ready; Ctrl-C"


@pytest.fixture
def home() -> Iterator[Path]:
    """Directly in the temporary folder: PostgreSQL may run as nobody, who cannot pass pytest's private ones."""
    folder = Path(tempfile.mkdtemp(prefix="parlex-up-"))
    yield folder
    shutil.rmtree(folder)


@contextmanager
def up(home: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", UP, str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()


def lines_until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or not re.search(wanted, lines[-1]):
        line = process.stdout.readline()
        assert line, f"ended without {wanted!r}:\n{''.join(lines)}"
        lines.append(line)
    return lines


def family(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def servers_of(home: Path) -> list[psutil.Process]:
    files = ("postgres/data/postmaster.pid", "valkey/pid")
    return [psutil.Process(int((home / file).read_text().split()[0])) for file in files]


def valkey_pid(home: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return (home / "valkey" / "pid").read_text().strip()
    return ""


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def all_gone(processes: list[psutil.Process]) -> bool:
    return all(is_gone(process) for process in processes)


def worker_of(lines: list[str], queue: str) -> int:
    return next(int(line.split()[-1]) for line in lines if line.startswith(queue) and "started, process" in line)


def test_a_database_that_is_away_is_named_in_one_line(home: Path) -> None:
    away = Settings(home=home, database_url=SecretStr("postgresql://parlex@127.0.0.1:1/parlex"))
    with pytest.raises(ConfigurationError, match=r"could not be migrated: .*refused"), Stack(away, flower_port=0):
        pass


def test_up_runs_everything_mends_what_dies_and_leaves_nothing(home: Path) -> None:
    with up(home) as supervisor:
        lines = lines_until(supervisor, READY)
        told = "".join(lines)
        names = (*QUEUES, "beat", "flower", "web")
        assert all(re.search(rf"^{name} *\| started", told, re.MULTILINE) for name in names)
        assert str(home / "flower" / "password") in told

        # No secret in the output, nor where everybody can read it.
        files = (home / "flower" / "password", home / "postgres" / "password", home / "valkey" / "password")
        secrets = [file.read_text().strip().rpartition(":")[2] for file in files]
        processes = family(supervisor.pid) + servers_of(home)
        assert not any(secret in told or secret in str(p.cmdline()) for secret in secrets for p in processes)

        # What is held is served where it says, in the role that may only read.
        [address] = re.findall(r"web: the same for programs, (http://127\.0\.0\.1:\d+)/api/v1", told)
        assert httpx.get(f"{address}/api/v1/bills").json() == {"data": [], "next": None}
        found = embedded.running(home)
        assert found
        asked = "select has_table_privilege('parlex_web', name, 'select') from unnest(array['bills', 'api_keys']) name"
        with build_engine(found.database_url).connect() as db:
            assert list(db.execute(text(asked)).scalars()) == [True, False]

        # One supervisor a home.
        with pytest.raises(ConfigurationError, match="runs already"), Stack(Settings(home=home), flower_port=0):
            pass

        # A worker that is killed takes its pool with it, and comes again.
        killed = psutil.Process(worker_of(lines, "fetch"))
        pool = killed.children(recursive=True)
        assert len(pool) == QUEUES["fetch"]
        killed.kill()
        again = lines_until(supervisor, r"fetch@\S+ ready")
        assert any("fetch" in line and "ended (SIGKILL)" in line for line in again)
        assert wait_until(lambda: all_gone([killed, *pool]), 10)

        # So does a server.
        before = embedded.running(home)
        valkey = servers_of(home)[1]
        valkey.kill()
        lines_until(supervisor, "Valkey is gone: starting it again")
        # While it is started again, its address still stands; its number is a new one only once it runs.
        assert wait_until(lambda: valkey_pid(home) not in ("", str(valkey.pid)), 60)
        assert wait_until(lambda: is_gone(valkey) and embedded.running(home) == before, 60)

        everything = family(supervisor.pid) + servers_of(home)
        supervisor.terminate()
        ending, _ = supervisor.communicate(timeout=120)
        assert supervisor.returncode == 0
        assert all_gone(everything)
        assert embedded.running(home) is None

        # The last words are ours, and true: a second Ctrl-C would not end the tasks, as Celery's own worker says.
        assert ending.splitlines()[-1] == "parlex  | stopped"
        assert not re.search(r"Ctrl\+C|(Cold|Warm) shutdown|Inspect method|\| $", told + ending, re.MULTILINE)


def test_a_killed_supervisor_leaves_no_worker_and_can_start_again(home: Path) -> None:
    with up(home) as supervisor:
        lines_until(supervisor, READY)
        children = family(supervisor.pid)
        assert len(children) > len(QUEUES)
        supervisor.kill()
        assert wait_until(lambda: all_gone(children), 60)
    with up(home) as supervisor:
        lines_until(supervisor, READY)
        supervisor.send_signal(signal.SIGINT)
        assert supervisor.wait(timeout=120) == 0
    assert embedded.running(home) is None


def test_a_terminal_that_knows_ascii_alone_is_told_everything(home: Path) -> None:
    accented = home / "été"
    with up(accented, PYTHONIOENCODING="ascii") as supervisor:
        told = "".join(lines_until(supervisor, READY))
        assert rf"embedded, in {home}/\xe9t\xe9/postgres" in told
        supervisor.send_signal(signal.SIGINT)
        assert supervisor.wait(timeout=120) == 0
    assert embedded.running(accented) is None


def test_a_home_whose_name_is_no_utf_8_is_named_and_left_as_it_is(home: Path) -> None:
    odd = home / os.fsdecode(b"caf\xe9")
    named = re.escape(rf"its name is no UTF-8: {home}/caf\xe9")
    for start in (lambda: Stack(Settings(home=odd), flower_port=0), lambda: embedded.servers(Settings(home=odd))):
        with pytest.raises(ConfigurationError, match=named), start():
            pass
    assert list(home.iterdir()) == []


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[None]:
    """A file system of its own; the test is skipped where nobody may mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False) if shutil.which("mount") else None
    if done is None or done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip() if done else 'no mount'}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("size=1m,ro", "PARLEX_HOME cannot be used: .*Read-only file system"),
        ("size=64k,nr_inodes=4", "PARLEX_HOME cannot be used: .*No space left on device"),
        ("size=64k", "the embedded PostgreSQL could not make its data folder: .*No space left on device"),
        ("size=20m", "the embedded PostgreSQL could not make its data folder"),
    ],
)
def test_a_home_without_room_is_one_line_and_leaves_no_process(home: Path, options: str, complaint: str) -> None:
    with small_disk(home, options):
        for start in (
            lambda: embedded.servers(Settings(home=home / "var")),
            lambda: Stack(Settings(home=home / "var"), flower_port=0),
        ):
            with pytest.raises(ConfigurationError, match=complaint) as refused, start():
                pass
            assert "\n" not in str(refused.value)
        used = [process for process in psutil.process_iter(["cmdline"]) if str(home) in str(process.info["cmdline"])]
        assert used == []


def test_a_stack_says_when_its_workers_answer(make_settings: Callable[..., Settings], home: Path) -> None:
    out = io.StringIO()
    settings = make_settings(home=home, flower_basic_auth="somebody:open sesame", flower_url_prefix="/queues/")
    with Stack(settings, flower_port=0, beat=False, out=out) as stack:
        assert stack.wait_ready(120)
        assert stack.flower_url.endswith("/queues")
        workers = f"{stack.flower_url}/api/workers"
        assert httpx.get(workers).status_code == 401
        answer = httpx.get(workers, auth=("somebody", "open sesame"), params={"status": True})
        assert {name.split("@")[0] for name, alive in answer.json().items() if alive} == set(QUEUES)
        assert settings.database_url
        assert stack.environment()["DATABASE_URL"] == settings.database_url.get_secret_value()
        assert not (home / "postgres").exists()
    assert "beat" not in out.getvalue()
    assert "sesame" not in out.getvalue()


def test_a_taken_port_is_named_before_anything_starts(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for ports in ({"flower_port": port}, {"flower_port": 0, "web_port": port}):
            with pytest.raises(ConfigurationError, match=str(port)), Stack(Settings(home=home), **ports):
                pass
    assert not (home / "postgres").exists()


def test_a_database_that_cannot_be_migrated_stops_the_start(home: Path, redis_url: str) -> None:
    settings = Settings(database_url="postgresql://user:hush@127.0.0.1:1/db", redis_url=redis_url, home=home)
    with pytest.raises(ConfigurationError, match="migrated") as refused, Stack(settings, flower_port=0):
        pass
    assert "hush" not in str(refused.value)


@pytest.mark.skipif(sys.platform != "linux", reason="shared memory is counted by Linux alone")
def test_everything_but_the_servers_fits_into_380_mb(home: Path) -> None:
    """Pages that several processes share are counted once, which is what forking them from one place is for."""
    with up(home) as supervisor:
        lines_until(supervisor, READY)
        processes = [psutil.Process(supervisor.pid), *family(supervisor.pid)]
        used = sum(process.memory_full_info().pss for process in processes)
    assert used < 380 * 1024 * 1024, f"{used / 1024 / 1024:.0f} MB"
