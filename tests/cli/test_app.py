"""The command line as a whole: its help, and what is wrong use."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import parlex
from parlex.cli.frame import MOST
from parlex.settings import Settings, environment
from tests.commands import complaint, run

COMMANDS = {
    "Run": ["up", "demo", "sandbox", "fetch", "backfill", "shell", "serve"],
    "Look": ["bills", "bill", "politicians", "politician", "votes", "vote", "changes", "runs"],
    "Prove": ["verify", "disagreements", "replay", "quarantine"],
    "Operate": [
        "archive",
        "export",
        "doctor",
        "config",
        "completion",
        "monitor",
        "metrics",
        "backup",
        "restore",
        "alerts",
        "hosts",
        "schedule",
        "words",
        "follow",
        "keys",
        "db",
    ],
}
GROUPS = {
    "runs": ["show", "retry", "revoke", "pause", "resume"],
    "quarantine": ["list", "show", "approve", "reject"],
    "alerts": ["test", "check"],
    "hosts": ["lift"],
    "keys": ["add", "list", "revoke"],
    "follow": ["add", "list", "show", "pause", "resume", "test", "rotate", "delete", "deliveries"],
    "schedule": ["list", "pause", "resume", "set"],
    "db": ["upgrade", "downgrade"],
}
ALL = [
    [],
    *([name] for names in COMMANDS.values() for name in names),
    *([group, name] for group, names in GROUPS.items() for name in names),
]


def test_nothing_heavy_is_imported_before_a_command_runs() -> None:
    heavy = ("alembic", "celery", "httpx", "pydantic", "redis", "rich", "sqlalchemy", "structlog", "workers")
    code = (
        "import sys; from parlex.cli.app import app\n"
        "app(['--help'], prog_name='parlex', standalone_mode=False)\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_version(settings: Settings) -> None:
    done = run(settings, "--version")
    assert (done.returncode, done.stdout) == (0, f"parlex {parlex.__version__}\n")


def test_the_commands_stand_below_their_headings(settings: Settings) -> None:
    shown = run(settings, "--help", COLUMNS="80").stdout
    found: dict[str, list[str]] = {}
    for line in shown.splitlines():
        if heading := re.fullmatch(r"(\w+):", line):
            names = found.setdefault(heading[1], [])
        elif entry := re.match(r"  ([a-z]\w*)  ", line):
            names.append(entry[1])
    assert {heading: names for heading, names in found.items() if heading != "Options"} == COMMANDS


@pytest.mark.parametrize("columns", [40, 80])
def test_each_command_is_told_of_in_a_whole_sentence(settings: Settings, columns: int) -> None:
    shown = run(settings, "--help", COLUMNS=str(columns)).stdout
    assert max(map(len, shown.splitlines())) <= columns
    told = " ".join(shown.split())
    for sentence in (
        "Fetch what is new or changed: of the current session, newest activity first, or of a whole session.",
        "Show where the two sources differ, with both values, and how long OpenParliament comes after LEGISinfo.",
        "List what was not believed, and give a person's word on it.",
    ):
        assert sentence in told


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_the_help_speaks_in_words(settings: Settings, words: list[str]) -> None:
    """No type of a program, no bound in symbols, nothing cut; each sentence ends."""
    shown = run(settings, *words, "--help", COLUMNS="80").stdout
    assert not re.search(r"<\w+|int range|INTEGER|TEXT\b.*TEXT|x>=|<=|\.\.\.(?!\])(?! )[a-z]|…", shown)
    for option in re.findall(r"^  -.*?(?=\n  -|\n\n|\Z)", shown, re.DOTALL | re.MULTILINE):
        sentence = re.sub(r"\s*\[[^\]]*\]\s*\Z", "", option)
        assert sentence.rstrip().endswith("."), option
    for example in re.findall(r"Example: (parlex .*)", shown):
        assert example.split()[1 : 1 + len(words)] == words


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["bills", "--session", "45"], "write it like 45-1"),
        (["fetch", "--session", "x"], "write it like 45-1"),
        (["backfill", "45-1", "x"], "write it like 45-1"),
        (["backfill"], "name the sessions"),
        (["bill", "45-1", "2"], "write it like C-2"),
        (["bill", "45-1", "C-2"], "parlex backfill 45-1"),
        (["bills", "--status", "Dead"], "HouseInCommittee"),
        (["runs", "show", "12345678"], "no run has an id that begins with 12345678"),
        (["sandbox", "--list-shape", "C"], "A or B"),
        (["sandbox", "--as-of", "yesterday"], "write it like 2026-03-01"),
        (["nonsense"], "No such command 'nonsense'. (see parlex --help)"),
        (["--bogus"], "No such option: --bogus (see parlex --help)"),
        (["fetch", "--bogus"], "No such option: --bogus (see parlex fetch --help)"),
        (["runs", "nonsense"], "No such command 'nonsense'. (see parlex runs --help)"),
        (["bills", "--session"], "Option '--session' requires an argument."),
        (["bill", "45-1", "C-2", "C-3"], "unexpected extra argument(s) (C-3) (see parlex bill --help)"),
        (["bill", "30-1", "C-2"], "sessions with bills begin with 35-1"),
        (["vote", "30-1", "1"], "sessions with votes begin with 38-1"),
        (["vote", "45-1", "1"], "parlex backfill --dataset votes 45-1"),
    ],
)
def test_wrong_use_is_one_line_that_says_what_to_do(settings: Settings, arguments: list[str], told: str) -> None:
    assert told in complaint(run(settings, *arguments), 2)


@pytest.mark.parametrize(
    "command",
    [
        *(["bills"], ["politicians"], ["votes"], ["changes"], ["runs"], ["alerts"], ["quarantine"], ["fetch"]),
        ["quarantine", "list"],
    ],
    ids=" ".join,
)
def test_a_limit_has_a_limit_and_the_help_says_so(settings: Settings, command: list[str]) -> None:
    assert f"1 to {MOST}" in " ".join(run(settings, *command, "--help").stdout.split())
    assert f"should be less than or equal to {MOST}" in complaint(run(settings, *command, "--limit", str(MOST + 1)), 2)
    if command != ["fetch"]:
        assert run(settings, *command, "--limit", str(MOST)).returncode == 0


def test_a_monitor_looks_back_ten_years_and_no_further(settings: Settings) -> None:
    assert "0.01 to 87600" in run(settings, "monitor", "--help").stdout
    assert "should be less than or equal to 87600" in complaint(run(settings, "monitor", "--hours", "1e20"), 2)


@pytest.mark.parametrize("command", [[], ["db"]])
def test_a_command_that_cannot_stand_alone_answers_with_its_help(settings: Settings, command: list[str]) -> None:
    done = run(settings, *command)
    assert (done.returncode, done.stderr.startswith("Usage: ")) == (2, True)
    assert len(done.stderr.splitlines()) > 5


def test_without_a_contact_the_public_sites_are_not_asked(make_settings: Callable[..., Settings]) -> None:
    public = make_settings(contact=None, legisinfo_url="https://www.parl.ca")
    assert "PARLEX_CONTACT" in complaint(run(public, "fetch"), 2)


def test_a_malformed_setting_is_named_without_its_value(settings: Settings) -> None:
    done = run(settings, "runs", DATABASE_URL="mysql://me:hunter2@there/db")
    assert "DATABASE_URL" in complaint(done, 2)
    assert "hunter2" not in done.stderr


# Completion.


def test_bash_completes_by_the_script(settings: Settings, tmp_path: Path) -> None:
    """As a shell does it: the script is read, the function called with the words so far."""
    script = run(settings, "completion", "bash")
    assert (script.returncode, script.stderr) == (0, "")
    (tmp_path / "parlex").write_text(f'#!/bin/sh\nexec {sys.executable} -m parlex "$@"\n')
    (tmp_path / "parlex").chmod(0o755)
    asks = (
        f"PATH={tmp_path}:$PATH\n{script.stdout}\n"
        "COMP_WORDS=(parlex schedule re); COMP_CWORD=2; _parlex_completion parlex; echo ${COMPREPLY[*]}\n"
        "COMP_WORDS=(parlex fetch --dis); COMP_CWORD=2; _parlex_completion parlex; echo ${COMPREPLY[*]}\n"
    )
    done = subprocess.run(["bash", "-c", asks], env=environment(settings), capture_output=True, text=True, check=True)
    assert (done.stdout.splitlines(), done.stderr) == (["resume", "--dispatch"], "")


@pytest.mark.parametrize(("shell", "told"), [("zsh", "#compdef parlex"), ("fish", "complete --command parlex")])
def test_other_shells_have_their_script(settings: Settings, shell: str, told: str) -> None:
    assert run(settings, "completion", shell).stdout.startswith(told)


def test_a_shell_that_is_not_known_is_refused(settings: Settings) -> None:
    assert complaint(run(settings, "completion", "csh"), 2).endswith("bash, zsh, fish")


def test_the_help_lists_no_options_of_completion(settings: Settings) -> None:
    assert "completion for the current shell" not in run(settings, "--help").stdout
