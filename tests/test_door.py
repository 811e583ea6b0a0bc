"""The door: what may come in by the broker, and what may not get out by Flower, logs and process lists."""

from __future__ import annotations

import ast
import asyncio
import base64
import os
import pickle
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from honcho.environ import parse_procfile
from kombu import Connection
from redis import Redis
from redis.exceptions import NoPermissionError
from sqlalchemy import make_url, text
from sqlalchemy.orm import Session

from parlex.errors import UsageError
from parlex.local.locks import wait_until
from parlex.settings import Settings, environment
from tests.test_structure import CODE, ROOT
from workers.beat import Tick

CREDENTIALS = ("somebody", "open-sesame-4711")


@contextmanager
def program(
    settings: Settings, log: Path, *arguments: str, quiet: bool = False, **more: str
) -> Iterator[subprocess.Popen[bytes]]:
    """``celery`` with these arguments, ended after the block."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", *(["-q"] * quiet), "-A", "workers.app", *arguments],
            cwd=ROOT,
            env=environment(settings, **more),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


WORKER = ("worker", "-Q", "control,fetch,persist", "-n", "door@test", "-c", "1", "-P", "solo", "--loglevel=INFO")


@contextmanager
def worker(settings: Settings, log: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    with program(settings, log, *WORKER, "--without-gossip", "--without-mingle", **more) as process:
        ready = wait_until(lambda: "door@test ready" in log.read_text() or process.poll() is not None, 60, every=0.1)
        assert ready, log.read_text()
        assert process.poll() is None, log.read_text()
        yield process


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.touch()
    return path


def publish(settings: Settings, task: str, *args: Any, headers: dict[str, Any] | None = None, **kwargs: Any) -> None:
    """As anybody can who reaches the broker."""
    _publish(settings, (list(args), kwargs, {}), _headers(task) | (headers or {}), serializer="json")


def _headers(task: str) -> dict[str, Any]:
    task_id = str(uuid4())
    return {"lang": "py", "task": task, "id": task_id, "root_id": task_id, "retries": 0}


def _publish(settings: Settings, body: Any, headers: dict[str, Any], **options: Any) -> None:
    assert settings.redis_url
    url = settings.redis_url.get_secret_value()
    with Connection(url, transport_options={"global_keyprefix": "parlex:"}) as link, link.channel() as channel:
        producer = link.Producer(channel)
        producer.publish(
            body, exchange="", routing_key="control", headers=headers, correlation_id=headers["id"], **options
        )


class Mine:
    """A pickle that leaves a mark where it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.live
def test_what_may_come_in_by_the_broker(settings: Settings, redis: Redis, log: Path, tmp_path: Path) -> None:
    """A pickle runs no code; arguments that are no arguments are refused, each in one line; then work goes on."""
    run = str(uuid4())
    wrong: list[tuple[str, list[Any], str]] = [
        ("parlex.fetch_latest_bills", [-1], "limit must be a whole number of at least 1, not -1"),
        ("parlex.fetch_latest_bills", ["; DROP TABLE bills"], "limit must be a whole number"),
        ("parlex.fetch_latest_bills", [True], "limit must be a whole number"),
        ("parlex.fetch_latest_bills", [5, 0], "recheck_after_days must be a whole number"),
        ("parlex.fetch_session_bills", ["45", 1], "parliament must be a whole number"),
        ("parlex.fetch_session_bills", [45, 10**40], "session must be a whole number from 1 to 9"),
        ("parlex.fetch_session_bills", [45, 1, -5], "limit must be a whole number"),
        ("parlex.plan_run", ["' OR 1=1"], "is not the id of a run"),
        ("parlex.plan_run", [run], f"no run {run} is in the log"),
        ("parlex.fetch_bills", [{"a": 1}, ["45-1 C-2"]], "is not the id of a run"),
        ("parlex.fetch_bills", [run, ["45-1 C-2"]], f"no run {run} is in the log"),
        ("parlex.persist_bills", ["x" * 100_000, []], "is not the id of a run"),
        ("parlex.monitor_fetch_operations", [10**30], "hours_back must be a whole number"),
    ]
    with worker(settings, log):
        body = base64.b64encode(pickle.dumps(([Mine(tmp_path / "mark")], {}, {}))).decode()
        _publish(
            settings,
            pickle.dumps(([Mine(tmp_path / "mark")], {}, {})),
            _headers("parlex.keep_house"),
            content_type="application/x-python-serialize",
            content_encoding="binary",
        )
        for task, args, _ in wrong:
            publish(settings, task, *args)
        publish(settings, "parlex.fetch_latest_bills", headers={"parlex_entry": "x", "parlex_slot": "yesterday"})
        publish(settings, "parlex.keep_house")
        done = wait_until(lambda: re.search(r"parlex\.keep_house\[\S+ succeeded", log.read_text()) is not None, 60)
    said = log.read_text()
    assert done, said
    assert not (tmp_path / "mark").exists(), body
    assert "Refusing to deserialize" in said or "ContentDisallowed" in said
    for task, args, named in wrong:
        assert named in said, (task, args)
    assert "parlex_slot must be an instant" in said
    assert said.count("Traceback") <= 1, said  # of kombu, over the pickle
    assert max(map(len, re.findall(r".*UsageError.*", said))) < 1000


@pytest.mark.parametrize(
    "headers",
    [
        {"parlex_entry": "x"},
        {"parlex_entry": "x", "parlex_slot": 5, "parlex_missed": 0},
        {"parlex_entry": "x", "parlex_slot": "2026-11-22T10:00:00", "parlex_missed": 0},
        {"parlex_entry": ["x"], "parlex_slot": "2026-11-22T10:00:00+00:00", "parlex_missed": 0},
        {"parlex_entry": "x", "parlex_slot": "2026-11-22T10:00:00+00:00", "parlex_missed": -1},
        {"parlex_entry": "x", "parlex_slot": "2026-11-22T10:00:00+00:00", "parlex_missed": "many"},
    ],
)
def test_headers_of_no_tick_are_refused(headers: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as refused:
        Tick.read(headers)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "keys", ["45-1 C-2", [], None, {"a": 1}, [5], [""], ["45-1 C-2\0"], ["x" * 200], ["45-1 C-2"] * 1001]
)
def test_keys_that_are_no_keys_are_refused(keys: object) -> None:
    from workers import tasks

    with pytest.raises(UsageError) as refused:
        tasks._keys(keys)
    assert len(str(refused.value)) < 200


# Flower.


@pytest.mark.live
def test_flower_is_closed_and_shows_no_secret(
    make_settings: Callable[..., Settings], database: str, redis_url: str, redis: Redis, log: Path
) -> None:
    """By real addresses with passwords, and by names that look like secrets in no other way."""
    settings = make_settings(
        flower_basic_auth=":".join(CREDENTIALS),
        alert_urls="json://alerts.invalid/sekrit-path-1",
        archive_url="s3://bucket?secret=sekrit-key-2",
    )
    hidden = [CREDENTIALS[1], "sekrit-path-1", "sekrit-key-2", str(make_url(redis_url).password)]
    if password := make_url(database).password:
        hidden.append(str(password))
    port = _free_port()
    with worker(settings, log) as worker_process:
        arguments = ("flower", "--address=127.0.0.1", f"--port={port}")
        with program(settings, log, *arguments, FLOWER_BASIC_AUTH=":".join(CREDENTIALS)) as flower:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                assert wait_until(lambda: _answers(client), 60, every=0.2), log.read_text()
                for path in ("/", "/api/workers", "/api/tasks", "/worker/door@test", "/broker"):
                    assert client.get(path).status_code == 401, path
                assert client.post("/api/worker/shutdown/door@test").status_code in (401, 403)
                assert client.get("/api/workers", auth=("somebody", "wrong")).status_code == 401
                client.auth = httpx.BasicAuth(*CREDENTIALS)
                assert wait_until(lambda: "conf" in client.get("/api/workers?refresh=1").text, 60, every=0.5)
                shown = {
                    path: client.get(path).text
                    for path in ("/api/workers?refresh=1", "/worker/door@test", "/broker", "/api/tasks", "/")
                }
            processes = _command_lines(worker_process.pid, flower.pid)
    assert "parlex.keep_house" in shown["/worker/door@test"]
    for where, what in {**shown, "ps": processes, "the log": log.read_text()}.items():
        assert not [secret for secret in hidden if secret and secret in what], where


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthcheck").status_code == 200
    except httpx.TransportError:
        return False


def _command_lines(*pids: int) -> str:
    return "\n".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in pids) if sys.platform == "linux" else ""


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# Who can reach what listens.


@pytest.mark.live
@pytest.mark.skipif(sys.platform != "linux", reason="looks for the address in /proc")
@pytest.mark.parametrize("process", ["flower", "metrics"])
@pytest.mark.parametrize("address", [None, "127.0.0.2"])
def test_the_procfile_listens_on_this_machine_unless_told_otherwise(
    process: str, address: str | None, make_settings: Callable[..., Settings], redis: Redis, log: Path
) -> None:
    port = _free_port()
    more = {"PORT": str(port), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    more |= {f"{process.upper()}_ADDRESS": address} if address else {}
    settings = make_settings(flower_basic_auth=":".join(CREDENTIALS))
    line = parse_procfile((ROOT / "Procfile").read_text()).processes[process]
    with log.open("ab") as out:
        command = ["sh", "-c", line]
        running = subprocess.Popen(command, cwd=ROOT, env=environment(settings, **more), stdout=out, stderr=out)
    try:
        assert wait_until(lambda: bool(_listening(port)), 60, every=0.2), log.read_text()
        assert _listening(port) == {address or "127.0.0.1"}
    finally:
        running.kill()
        running.wait()


def _listening(port: int) -> set[str]:
    """The addresses at which something listens on the port."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for words in map(str.split, Path(table).read_text().splitlines()[1:]):
            address, _, number = words[1].partition(":")
            if words[3] == "0A" and int(number, 16) == port:
                found.add(".".join(str(byte) for byte in bytes.fromhex(address)[::-1]))
    return found


# Rights in Redis.


def redis_rights() -> list[str]:
    """The words of the line in docs/deployment.md that makes the user."""
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    [line] = re.findall(r"^ACL SETUSER parlex (.*)$", page, re.MULTILINE)
    return [">hush" if word.startswith(">") else word for word in line.split()]


@pytest.mark.live
def test_the_rights_that_the_page_names_are_enough(
    make_settings: Callable[..., Settings], redis: Redis, redis_url: str, log: Path
) -> None:
    """For a worker, beat, Flower, a result and the health check; and not for the keys of others."""
    redis.acl_log_reset()
    redis.execute_command("ACL", "SETUSER", "parlex", "reset", *redis_rights())
    url = make_url(redis_url).set(username="parlex", password="hush")
    settings = make_settings(
        redis_url=url.render_as_string(hide_password=False),
        keep_house_seconds=1,
        flower_basic_auth=":".join(CREDENTIALS),
    )
    port = _free_port()
    try:
        with (
            worker(settings, log),
            program(settings, log, "beat", "--pidfile="),
            program(settings, log, "flower", "--address=127.0.0.1", f"--port={port}"),
            httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=CREDENTIALS, timeout=30) as client,
        ):
            assert wait_until(lambda: _answers(client), 60, every=0.2), log.read_text()
            assert wait_until(lambda: "door@test" in client.get("/api/workers?refresh=1").text, 60, every=0.5)
            assert wait_until(lambda: "keep_house" in log.read_text() and "succeeded in" in log.read_text(), 60)
            assert "control" in client.get("/api/queues/length").text
            code = (
                "from workers.tasks import monitor_fetch_operations as task; print(task.delay().get(timeout=60));"
                "from workers.app import app; print(app.control.inspect(timeout=5).active_queues());"
                "from workers.app import resources; throttle = resources().throttle;"
                "throttle.acquire('somewhere.test'); throttle.failed('somewhere.test'); throttle.block('a.test', 1)"
            )
            asked = subprocess.run(
                [sys.executable, "-c", code],
                cwd=ROOT,
                env=environment(settings),
                capture_output=True,
                text=True,
                check=False,
            )
            assert asked.returncode == 0, asked.stderr
            assert "door@test" in asked.stdout
        assert redis.acl_log() == []
        with Redis.from_url(str(settings.redis_url and settings.redis_url.get_secret_value())) as low:
            for refused in (("GET", "another:key"), ("PUBLISH", "another", "x"), ("FLUSHALL",), ("CONFIG", "GET", "*")):
                with pytest.raises(NoPermissionError):
                    low.execute_command(*refused)
    finally:
        redis.acl_deluser("parlex")


# Encryption.


@contextmanager
def encrypted(port: int, certificate: Path) -> Iterator[int]:
    """A port that speaks TLS and passes on to ``port``: the servers here were built without it."""
    import threading

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(relay(reader, far_writer), relay(far_reader, writer))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(serve, "127.0.0.1", 0, ssl=context), loop).result()

    async def close() -> None:
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.live
def test_a_worker_speaks_tls_and_checks_who_answers(
    make_settings: Callable[..., Settings], redis_url: str, redis: Redis, certificate: Path, log: Path
) -> None:
    plain = make_url(redis_url)
    assert plain.port
    with encrypted(plain.port, certificate) as port:
        url = plain.set(drivername="rediss", port=port, host="localhost").render_as_string(hide_password=False)
        settings = make_settings(redis_url=url)
        with worker(settings, log, SSL_CERT_FILE=str(certificate)):
            publish(make_settings(), "parlex.keep_house")
            assert wait_until(lambda: "succeeded" in log.read_text(), 60), log.read_text()
        log.write_text("")
        with program(settings, log, *WORKER):
            assert wait_until(lambda: "CERTIFICATE_VERIFY_FAILED" in log.read_text(), 60), log.read_text()
        assert "ready" not in log.read_text()


def test_the_broker_s_certificate_is_checked_by_default(make_settings: Callable[..., Settings]) -> None:
    """A bare rediss:// would check nothing."""
    code = (
        "import celeryconfig as c, ssl;"
        "assert c.broker_use_ssl == c.redis_backend_use_ssl == {'ssl_cert_reqs': ssl.CERT_REQUIRED}"
    )
    settings = make_settings(redis_url="rediss://:hush@redis.invalid:6380/0")
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(settings), check=True)


def test_what_a_database_url_says_of_tls_reaches_the_driver(
    make_settings: Callable[..., Settings],
) -> None:
    from parlex.db.engine import build_engine

    settings = make_settings(
        database_url="postgres://me:hush@db.invalid/parlex?sslmode=verify-full&sslrootcert=/ca.pem"
    )
    assert settings.database_url
    engine = build_engine(settings.database_url.get_secret_value())
    _, told = engine.dialect.create_connect_args(engine.url)
    engine.dispose()
    assert (told["sslmode"], told["sslrootcert"]) == ("verify-full", "/ca.pem")


# Secrets.


def test_no_secret_shows_in_a_repr(make_settings: Callable[..., Settings]) -> None:
    from parlex.local.embedded import resolve
    from parlex.resources import Resources

    settings = make_settings(
        database_url="postgresql://me:hush1@db.invalid/x",
        redis_url="redis://:hush2@redis.invalid/0",
        flower_basic_auth="me:hush3",
        archive_url="s3://bucket?secret=hush4",
        alert_urls="json://hush5",
        sentry_dsn="https://hush6@sentry.invalid/1",
    )
    resources = Resources(settings, resolve(settings))
    shown = [settings, str(settings), resolve(settings), resources.engine, resources.redis, resources]
    for one in shown:
        assert not re.search(r"hush\d", repr(one)), type(one)
    resources.close()


def test_an_unreachable_server_is_named_without_its_password(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(
        database_url="postgresql://me:hush1@127.0.0.1:1/x", redis_url="redis://:hush2@127.0.0.1:1/0"
    )
    for command in (["fetch"], ["bills"], ["monitor"], ["doctor"]):
        done = subprocess.run(
            [sys.executable, "-m", "parlex", *command],
            cwd=ROOT,
            env=environment(settings),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert "hush" not in done.stdout + done.stderr, command
        assert "Traceback" not in done.stderr, command


# Documents.


def test_an_address_from_a_document_is_asked_on_its_own_host_only(make_resources: Callable[..., Any]) -> None:
    """A next_url that points elsewhere is an error, and nobody is asked."""
    from parlex.datasets.bills.openparliament import OpenParliament
    from parlex.errors import ParlexError
    from parlex.fetching.http import Client, Tally
    from parlex.parliament import SessionId
    from tests.throttles import NullThrottle

    asked: list[str] = []

    def answer(elsewhere: str, request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        page = {"objects": [], "pagination": {"offset": 0, "limit": 500, "next_url": elsewhere, "previous_url": None}}
        return httpx.Response(200, json=page)

    for elsewhere in (
        "http://169.254.169.254/latest/",
        "//evil.invalid/bills/",
        "file:///etc/passwd",
        "@evil.invalid/",
    ):
        client = Client(
            user_agent="tests",
            throttle=NullThrottle(),
            connect_timeout=1,
            read_timeout=1,
            max_body_bytes=10**6,
            transport=httpx.MockTransport(partial(answer, elsewhere)),
        )
        with pytest.raises(ParlexError):
            OpenParliament(client, "http://openparliament.test").list_bills(SessionId(45, 1), Tally())
        client.close()
    assert set(asked) == {"openparliament.test"}


def test_hostile_text_goes_in_and_comes_out_as_text(db: Session) -> None:
    """Through every column that a source fills, by bound parameters."""
    from tests import rows

    nasty = "'); DROP TABLE bills; -- %s %(x)s {0} \\ \x1b[31m"
    run = rows.run(scope=nasty[:20], errors=[nasty])
    db.add(run)
    db.flush()
    assert db.execute(text("SELECT errors->>0 FROM fetch_logs")).scalar_one() == nasty
    assert db.execute(text("SELECT count(*) FROM bills")).scalar_one() == 0


# Names of tables and columns take no parameter; these are constants of ours.
NAMES_OF_OURS = ("CREATE DATABASE {self.database}", "{table}_fts", "create index")


def test_sql_is_never_put_together_from_values() -> None:
    """``text()`` and ``execute()`` take a literal, never an f-string, ``%`` or ``format``."""
    wrong = []
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("text", "execute", "exec_driver_sql", "literal_column") and _is_built(node.args[0]):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)[:100]}")
    # CREATE DATABASE takes no parameter, and the name there is a constant of ours.
    assert [line for line in wrong if not any(known in line for known in NAMES_OF_OURS)] == []


def _is_built(argument: ast.expr) -> bool:
    if isinstance(argument, ast.Call):
        called = argument.func
        return isinstance(called, ast.Attribute) and called.attr == "format" and isinstance(called.value, ast.Constant)
    if isinstance(argument, ast.BinOp):
        return any(isinstance(side, ast.Constant) and isinstance(side.value, str) for side in ast.walk(argument))
    return isinstance(argument, ast.JoinedStr) and any(isinstance(part, ast.FormattedValue) for part in argument.values)


def test_containers_run_as_a_user_of_their_own() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    last_stage = max(number for number, line in enumerate(lines) if line.startswith("FROM"))
    users = [line.split()[1] for line in lines[last_stage:] if line.startswith("USER")]
    assert users
    assert users[-1] not in ("root", "0")
