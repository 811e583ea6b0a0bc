"""The arrows and the wiring, read from the files: which part may know which, and that every queue, tick and task meets.

A failure names the arrow, the queue or the entry that is wrong.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery.schedules import crontab, maybe_schedule
from honcho.environ import parse_procfile

ROOT = Path(__file__).resolve().parent.parent
CODE = sorted(path for folder in ("parlex", "workers") for path in (ROOT / folder).rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in CODE}
MODULES["celeryconfig"] = ROOT / "celeryconfig.py"

# The floors of the house, from the ground up. A module imports from its own floor and from those below it. A name
# stands for the module and all below it.
FLOORS = [
    ["parlex.errors"],
    ["parlex.settings", "parlex.parliament", "parlex.answers"],
    ["parlex.logs"],
    ["parlex.db"],
    ["parlex.fetching"],
    ["parlex.mirror"],
    ["parlex.runs"],
    ["parlex.datasets"],
    ["parlex.local"],
    ["parlex.resources"],
    ["parlex.watch"],
    ["parlex.serving"],
    ["parlex.follow"],
    ["parlex.web"],
    ["parlex.cli"],
    ["workers"],
]
# What a floor does not know, though it is no floor of ours.
FORBIDDEN = [
    ("parlex.*", ["celery", "kombu", "celeryconfig"], "the library does not know how it is run"),
    ("parlex.parliament", ["sqlalchemy", "httpx"], "no I/O"),
    ("parlex.datasets.*.source", ["sqlalchemy", "parlex.db"], "a source asks and parses"),
    ("parlex.datasets.bills.legisinfo*", ["sqlalchemy", "parlex.db"], "a source asks and parses"),
    ("parlex.datasets.bills.openparliament", ["sqlalchemy", "parlex.db"], "a source asks and parses"),
    ("parlex.datasets.bills.merge", ["sqlalchemy", "parlex.db", "httpx"], "merging is pure"),
    ("parlex.mirror.guards", ["sqlalchemy", "httpx"], "a guard judges what it is handed"),
    ("parlex.fetching.*", ["sqlalchemy", "parlex.db"], "asking knows no rows"),
    ("parlex.local.sandbox.*", ["parlex.db", "parlex.settings"], "it stands in, alone"),
    ("parlex.watch.*", ["httpx", "parlex.fetching.http"], "who watches reads rows, and asks no source"),
    ("parlex.serving.*", ["fastapi", "starlette", "uvicorn"], "only parlex.web knows a web framework"),
    ("workers.*", ["parlex.fetching.http", "httpx"], "tasks are doors, not rooms"),
]
# Who may build a client, an engine, a throttle, a source. demo and doctor are commands of cli, in files of their own.
COMPOSITION_ROOT = {"parlex.resources", "parlex.watch.doctor.database"}
BUILT_THERE = {"Client", "RedisThrottle", "Legisinfo", "OpenParliament", "build_engine"}
READS_ENVIRONMENT = {"parlex.settings"}
TOP_MODULES = 10  # files directly in parlex/
LONGEST_MODULE = 500  # lines
LONG_BY_NATURE = {"parlex.db.models"}
QUEUES = {"control", "deliver", "fetch", "persist"}
# The tasks without a route, which the default queue takes: they plan and look after, and are soon over.
ON_CONTROL = {
    "parlex.archive_documents",
    "parlex.check_alerts",
    "parlex.fetch_latest_bills",
    "parlex.fetch_latest_politicians",
    "parlex.fetch_latest_votes",
    "parlex.fetch_session_bills",
    "parlex.fetch_session_votes",
    "parlex.keep_house",
    "parlex.monitor_fetch_operations",
    "parlex.monitor_politician_operations",
    "parlex.plan_run",
    "parlex.prune",
    "parlex.retry_run",
    "parlex.sweep_sessions",
}


def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def package_of(module: str) -> str:
    return module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]


def imports_of(module: str) -> Iterator[tuple[str, int, bool]]:
    """(imported name, line, whether inside a function) of each import; ``from a import b`` gives ``a.b``."""
    tree = tree_of(module)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, id(node) in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package_of(module).split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [node.module])])
            yield from ((f"{base}.{alias.name}", node.lineno, id(node) in inside) for alias in node.names)


def below(name: str, parent: str) -> bool:
    return name == parent or name.startswith(parent + ".")


def matches(module: str, pattern: str) -> bool:
    return fnmatch(module, pattern) or fnmatch(module + ".", pattern)


def floor_of(name: str) -> int | None:
    """The floor that a module, or a name in one, is on; None for what is not of the house."""
    return next((n for n, floor in enumerate(FLOORS) if any(below(name, room) for room in floor)), None)


@pytest.mark.parametrize("module", MODULES)
def test_no_floor_imports_a_higher_one(module: str) -> None:
    here = floor_of(module)
    wrong = [
        f"{module}:{line} imports {name}, which is above it"
        for name, line, in_function in imports_of(module)
        if here is not None
        and (there := floor_of(name)) is not None
        and there > here
        # The one exception: a command that dispatches.
        and not (below(module, "parlex.cli") and below(name, "workers") and in_function)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", [m for m in MODULES if m not in ("parlex", "parlex.__main__", "celeryconfig")])
def test_every_module_stands_on_a_floor(module: str) -> None:
    assert floor_of(module) is not None, f"{module}: say in FLOORS where it stands"


def test_no_module_imports_itself_by_way_of_others() -> None:
    circles = [circle for module in MODULES if (circle := circle_from(module))]
    assert not circles, "\n".join(" -> ".join(circle) for circle in circles)


def circle_from(start: str) -> list[str]:
    """A way from a module back to it, by imports of any sort, those for types alone too."""
    ways = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for name, *_ in imports_of(way[-1]):
            found = next((m for m in (name, name.rpartition(".")[0]) if m in MODULES), None)
            if found is None or found == way[-1]:
                continue
            if found == start:
                return [*way, start]
            if found not in seen:
                seen.add(found)
                ways.append([*way, found])
    return []


def test_the_hall_is_short() -> None:
    top = [module for module in MODULES if re.fullmatch(r"parlex(\.\w+)?", module) and "__init__" not in module]
    files = [module for module in top if MODULES[module].parent.name == "parlex"]
    assert len(files) <= TOP_MODULES, files


@pytest.mark.parametrize("module", [m for m in MODULES if ".migrations." not in m and m not in LONG_BY_NATURE])
def test_no_module_is_too_long_to_read(module: str) -> None:
    lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_MODULE, f"{module} has {lines} lines"


@pytest.mark.parametrize("module", [m for m in MODULES if below(m, "parlex.cli") or below(m, "workers")])
def test_no_private_name_crosses_a_module(module: str) -> None:
    ours = [name for name, _, _ in imports_of(module) if name.startswith(("parlex.", "workers."))]
    assert not [name for name in ours if name.rpartition(".")[2].startswith("_")]


@pytest.mark.parametrize("module", MODULES)
def test_no_forbidden_import(module: str) -> None:
    wrong = [
        f"{module}:{line} imports {name}: {reason}"
        for pattern, forbidden, reason in FORBIDDEN
        if matches(module, pattern)
        for name, line, in_function in imports_of(module)
        if any(below(name, target) for target in forbidden)
        # The one exception: a command that dispatches.
        and not (below(module, "parlex.cli") and in_function)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", MODULES)
def test_the_environment_is_read_in_settings_only(module: str) -> None:
    if module in READS_ENVIRONMENT:
        return
    wrong = [
        f"{module}:{node.lineno} reads the environment"
        for node in ast.walk(tree_of(module))
        if (isinstance(node, ast.Attribute | ast.alias))
        and (node.attr if isinstance(node, ast.Attribute) else node.name) in {"environ", "environb", "getenv"}
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", [m for m in MODULES if m not in COMPOSITION_ROOT])
def test_only_the_composition_root_builds(module: str) -> None:
    wrong = [
        f"{module}:{node.lineno} builds {node.func.id}; resources.py hands it out"
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BUILT_THERE
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", MODULES)
def test_no_module_says_nothing_by_its_name(module: str) -> None:
    assert not re.match(r"(utils?|helpers?|common|misc)\b", module.rpartition(".")[2]), f"{module}: name what it does"


def test_no_test_patches_our_functions() -> None:
    """Fake the edge, run the rest: a patched function is a function that is not tested."""
    wrong = []
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _patches(node):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)[:100]}")
    assert not wrong, "\n".join(wrong)


def _patches(call: ast.Call) -> bool:
    """Whether a call replaces an attribute of ours: by its dotted name, or on an imported module or class."""
    name = ast.unparse(call.func)
    if not call.args or not re.search(r"(^|\.)(setattr|setitem|patch|patch\.(object|dict|multiple))$", name):
        return False
    target = call.args[0]
    if isinstance(target, ast.Constant):
        return isinstance(target.value, str) and target.value.split(".")[0] in {"parlex", "workers", "celeryconfig"}
    # The environment and the path are edges; every other object handed to a patching call is suspect.
    return ast.unparse(target) not in {"os.environ", "sys.modules", "sys"}


# The wiring.


@pytest.fixture(scope="module")
def config() -> Any:
    import celeryconfig

    return celeryconfig


@pytest.fixture(scope="module")
def tasks() -> dict[str, Any]:
    """Every task of ours by its name."""
    import workers.tasks  # noqa: F401  registers them
    from workers.app import app

    return {name: task for name, task in app.tasks.items() if name.startswith("parlex.")}


@pytest.fixture(scope="module")
def procfile() -> dict[str, list[str]]:
    """Each process's command in words, as honcho reads the file."""
    processes = parse_procfile((ROOT / "Procfile").read_text()).processes
    return {name: shlex.split(command) for name, command in processes.items()}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return services


def consumed(commands: dict[str, list[str]]) -> dict[str, str]:
    """Queue to the process that consumes it, by the -Q of each worker's command."""
    found: dict[str, str] = {}
    for process, words in commands.items():
        for option, value in pairwise(words):
            if option in ("-Q", "--queues"):
                found |= dict.fromkeys(value.split(","), process)
    return found


def compose_commands(compose: dict[str, Any]) -> dict[str, list[str]]:
    commands = ((name, service.get("command") or []) for name, service in compose.items())
    return {name: shlex.split(c) if isinstance(c, str) else [str(word) for word in c] for name, c in commands}


def declared_queues(config: Any) -> set[str]:
    """The queues that the configuration declares or routes to, and the default one."""
    routes = getattr(config, "task_routes", {})
    routed = {r["queue"] if isinstance(r, dict) else r for r in routes.values()}
    declared = {getattr(q, "name", q) for q in getattr(config, "task_queues", ()) or ()}
    return routed | declared | {config.task_default_queue}


def test_the_queues_are_these(config: Any) -> None:
    assert declared_queues(config) == QUEUES


def test_every_queue_has_a_consumer_in_the_procfile(config: Any, procfile: dict[str, list[str]]) -> None:
    assert set(consumed(procfile)) == declared_queues(config)


def test_every_queue_has_a_consumer_in_compose(config: Any, compose: dict[str, Any]) -> None:
    assert set(consumed(compose_commands(compose))) == declared_queues(config)


def test_a_tick_never_waits_behind_a_backfill(procfile: dict[str, list[str]], compose: dict[str, Any]) -> None:
    for commands in (procfile, compose_commands(compose)):
        assert len(set(consumed(commands).values())) == len(QUEUES), "one process for each queue"


def test_procfile_processes_take_the_signals_themselves(procfile: dict[str, list[str]]) -> None:
    """A shell in between would swallow the TERM that a warm stop needs."""
    workers = {"worker-control", "worker-deliver", "worker-fetch", "worker-persist"}
    assert set(procfile) == {"release", *workers, "beat", "flower", "metrics", "web"}
    without = [name for name, words in procfile.items() if name != "release" and "exec" not in words]
    assert not without


def test_every_task_goes_to_a_queue_on_purpose(config: Any, tasks: dict[str, Any]) -> None:
    """By a route, or because somebody wrote here that it is short and may stand in the way of a tick."""
    from workers.app import app

    assert set(tasks) == set(config.task_routes) | ON_CONTROL, "a task of neither goes to the default queue by chance"
    assert not set(config.task_routes) & ON_CONTROL
    wanted = dict.fromkeys(ON_CONTROL, "control") | {name: to["queue"] for name, to in config.task_routes.items()}
    assert {name: app.amqp.router.route({}, name)["queue"].name for name in tasks} == wanted


def test_every_beat_entry_names_a_task_that_takes_its_arguments(config: Any, tasks: dict[str, Any]) -> None:
    for entry, tick in config.beat_schedule.items():
        assert tick["task"] in tasks, f"{entry} names {tick['task']}, which does not exist"
        signature = inspect.signature(tasks[tick["task"]].run)
        signature.bind(*tick.get("args", ()), **tick.get("kwargs", {}))


def test_every_beat_entry_expires_before_its_next_tick(config: Any) -> None:
    for entry, tick in config.beat_schedule.items():
        expires = tick.get("options", {}).get("expires")
        assert expires, f"{entry}: a tick that nobody took is stale when the next one comes"
        assert expires <= shortest_wait(maybe_schedule(tick["schedule"])).total_seconds(), entry


def shortest_wait(schedule: Any) -> timedelta:
    """Between two ticks, of a hundred in a row."""
    ticks = [datetime(2026, 1, 1, tzinfo=UTC)]
    for _ in range(100):
        ticks.append(next_tick(schedule, ticks[-1]))
    return min(later - earlier for earlier, later in pairwise(ticks[1:]))


def next_tick(schedule: Any, after: datetime) -> datetime:
    if isinstance(schedule, crontab):
        last, wait, _ = schedule.remaining_delta(after)
        return last + wait
    return after + schedule.run_every


def test_no_message_expires_by_a_host_s_clock() -> None:
    """Celery's own ``expires`` is written by one host and judged by another: see ``workers/app.py``."""
    for module in ("workers.tasks", "workers.app", "workers.control", "workers.shell"):
        calls = [node for node in ast.walk(ast.parse(MODULES[module].read_text())) if isinstance(node, ast.Call)]
        assert not [call.lineno for call in calls if "expires" in {keyword.arg for keyword in call.keywords}], module


def test_the_schedule_is_the_promised_one(config: Any) -> None:
    """Hourly at minute 0 with 50, daily at 02:00 UTC with 100 and the weekly recheck, monitor daily at 03:00 UTC."""
    ticks = [(tick["task"], tick.get("kwargs", {}), _cron(tick["schedule"])) for tick in config.beat_schedule.values()]
    assert ("parlex.fetch_latest_bills", 50, "0 *") in [(t, k.get("limit"), c) for t, k, c in ticks]
    assert ("parlex.fetch_latest_bills", 100, 7, "0 2") in [
        (t, k.get("limit"), k.get("recheck_after_days"), c) for t, k, c in ticks
    ]
    assert ("parlex.monitor_fetch_operations", 24, "0 3") in [(t, k.get("hours_back", 24), c) for t, k, c in ticks]
    assert config.timezone == "UTC"
    assert config.enable_utc


def _cron(schedule: Any) -> str:
    return f"{schedule._orig_minute} {schedule._orig_hour}" if hasattr(schedule, "_orig_minute") else ""


def test_nothing_waits_in_a_worker_longer_than_the_visibility_timeout(config: Any, tasks: dict[str, Any]) -> None:
    """Redis would deliver it a second time while the first waits or runs."""
    visibility = config.broker_transport_options["visibility_timeout"]
    assert config.result_backend_transport_options["visibility_timeout"] == visibility
    for name, task in tasks.items():
        limit = task.time_limit or config.task_time_limit
        longest_wait = max(
            float(getattr(task, "retry_backoff_max", 0) or 0) if getattr(task, "autoretry_for", ()) else 0,
            float(task.default_retry_delay or 0),
        )
        assert limit + longest_wait < visibility, f"{name}: {limit} s to run and {longest_wait} s to wait"


def test_no_countdown_is_set_but_where_its_bound_is_known() -> None:
    """What both wait for is measured by the next test: a retry's own delay, and what is due within the longest one."""
    found = {
        f"{module}.{function.name}"
        for module in MODULES
        for function in ast.walk(tree_of(module))
        if isinstance(function, ast.FunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and any(keyword.arg in ("countdown", "eta") for keyword in call.keywords)
    }
    assert found == {"workers.app.retry", "workers.tasks._send_later"}


def test_what_the_library_waits_for_fits_too(config: Any) -> None:
    """The last retry's wait with the default delay and the worst jitter, and the longest countdown that a task sets."""
    from parlex.runs import run_keys, steps
    from parlex.settings import Settings

    last_retry = Settings.model_fields["retry_delay"].default * 2 ** (run_keys.MAX_RETRIES - 1) * 1.2
    for wait in (last_retry, steps.LONGEST_COUNTDOWN):
        assert config.task_time_limit + wait < config.broker_transport_options["visibility_timeout"]


def test_messages_are_json_only(config: Any) -> None:
    """Pickle would run the code of whoever reaches the broker."""
    assert config.task_serializer == config.result_serializer == "json"
    assert list(config.accept_content) == ["json"]


def test_running_needs_only_pinned_packages() -> None:
    """pyproject.toml names what running needs, requirements.txt its exact version, with the same marker."""
    pinned = {}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if match := re.match(r"([a-z0-9-]+)==([^;\s]+)(?:; *([^#]+))?", line):
            pinned[match[1]] = (match[3] or "").strip().replace('"', "'")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["local"]]:
        name, _, marker = (part.strip() for part in requirement.partition(";"))
        assert pinned.get(name, "not pinned") == marker, requirement


def test_compose_asks_for_nothing_that_the_example_does_not_give() -> None:
    example = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    text = (ROOT / "docker-compose.yml").read_text()
    assert set(re.findall(r"\$\{([A-Z_]+):\?", text)) <= example


@pytest.mark.parametrize("file", ["docker-compose.yml", ".env.example"])
def test_every_variable_of_ours_is_a_setting(file: str) -> None:
    """A misspelt variable would be ignored in silence."""
    from parlex.settings import NOT_SETTINGS, Settings

    known = {f"PARLEX_{name.upper()}" for name in Settings.model_fields} | set(NOT_SETTINGS)
    assert set(re.findall(r"\bPARLEX_[A-Z_]+", (ROOT / file).read_text())) <= known
