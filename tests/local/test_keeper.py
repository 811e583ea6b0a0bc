"""The keeper as a real process, with small programs to keep."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from parlex.local.keeper import Plan, Program
from parlex.local.locks import wait_until

pytestmark = pytest.mark.live

STARTED = re.compile(r"started, process (\d+)")


@pytest.fixture
def make_program(tmp_path: Path) -> Callable[[str, str], Program]:
    """A program from its source; its argument is the folder of the test."""

    def make(name: str, source: str) -> Program:
        (tmp_path / f"{name}_program.py").write_text(source)
        return Program(name, f"{name}_program", (str(tmp_path),))

    return make


@contextmanager
def keeping(
    folder: Path, *programs: Program, preload: tuple[str, ...] = (), unsaid: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    path = os.pathsep.join((str(folder), *sys.path))
    keeper = subprocess.Popen(
        [sys.executable, "-m", "parlex.local.keeper"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    with keeper:
        assert keeper.stdin is not None
        keeper.stdin.write(Plan(programs, preload, coloured=False, unsaid=unsaid).to_json())
        keeper.stdin.flush()
        try:
            yield keeper
        finally:
            keeper.stdin.close()
            keeper.wait()


def lines_until(keeper: subprocess.Popen[bytes], wanted: str) -> list[str]:
    """What the keeper writes, up to and with the first line that holds ``wanted``."""
    assert keeper.stdout is not None
    lines: list[str] = []
    while not lines or wanted not in lines[-1]:
        line = keeper.stdout.readline()
        assert line, f"ended without {wanted!r}: {lines}"
        lines.append(line.decode().rstrip("\n"))
    return lines


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


WAIT = "import signal, time\nprint('here', flush=True)\nwhile True: signal.pause()\n"


def test_output_comes_line_by_line_under_its_name(tmp_path: Path, make_program: Callable[..., Program]) -> None:
    program = make_program(
        "talker",
        "import sys, os, signal\nos.write(1, b'one\\n\\nbad \\xff byte\\n')\n"
        "print('oops', file=sys.stderr, flush=True)\nos.write(1, b'no newline')\nsys.exit(3)\n",
    )
    with keeping(tmp_path, program) as keeper:
        lines = lines_until(keeper, "ended")
        lines += lines_until(keeper, "started")
    said = [line for line in lines if "started" not in line and "ended" not in line]
    assert said == ["talker  | one", "talker  | ", "talker  | bad � byte", "talker  | oops", "talker  | no newline"]
    assert [line for line in lines if "ended" in line] == ["talker  | ended (exit code 3); starts again in 0.5 s"]


def test_what_is_not_so_here_is_not_passed_on(tmp_path: Path, make_program: Callable[..., Program]) -> None:
    program = make_program("talker", "print('one')\nprint('Hitting it again')\nprint()\nprint('two', flush=True)\n")
    with keeping(tmp_path, program, unsaid=("^Hitting", "^$")) as keeper:
        lines = lines_until(keeper, "ended")
    assert [line for line in lines if "ed" not in line] == ["talker  | one", "talker  | two"]


def test_one_that_keeps_dying_is_started_later_each_time(tmp_path: Path, make_program: Callable[..., Program]) -> None:
    with keeping(tmp_path, make_program("dying", "raise SystemExit(1)")) as keeper:
        delays = [lines_until(keeper, "ended")[-1].rpartition(" in ")[2] for _ in range(3)]
    assert delays == ["0.5 s", "1 s", "2 s"]


def test_a_killed_child_lives_again_without_its_old_family(
    tmp_path: Path, make_program: Callable[..., Program]
) -> None:
    family = "import os, signal\npid = os.fork()\nif pid: print('child', pid, flush=True)\nwhile True: signal.pause()\n"
    with keeping(tmp_path, make_program("parent", family)) as keeper:
        first = lines_until(keeper, "child")
        pid, grandchild = int(STARTED.search(first[0])[1]), int(first[-1].split()[-1])  # type: ignore[index]
        os.kill(pid, signal.SIGKILL)
        second = lines_until(keeper, "child")
        assert "ended (SIGKILL)" in second[0]
        assert wait_until(lambda: is_gone(grandchild), 10)


def test_nothing_is_left_when_the_input_closes(tmp_path: Path, make_program: Callable[..., Program]) -> None:
    with keeping(tmp_path, make_program("a", WAIT), make_program("b", WAIT)) as keeper:
        pids = [int(lines_until(keeper, "started")[-1].split()[-1]) for _ in range(2)]
        assert keeper.stdin is not None
        keeper.stdin.close()
        assert keeper.wait(timeout=60) == 0
        assert all(is_gone(pid) for pid in pids)


def test_term_ends_even_those_who_will_not(tmp_path: Path, make_program: Callable[..., Program]) -> None:
    deaf = make_program("deaf", "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAIT)
    with keeping(tmp_path, deaf) as keeper:
        pid = int(STARTED.search(lines_until(keeper, "here")[0])[1])  # type: ignore[index]
        keeper.terminate()
        assert keeper.wait() == 0
        assert is_gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent was killed")
def test_the_children_of_a_killed_keeper_end(tmp_path: Path, make_program: Callable[..., Program]) -> None:
    with keeping(tmp_path, make_program("left", WAIT)) as keeper:
        pid = int(STARTED.search(lines_until(keeper, "here")[0])[1])  # type: ignore[index]
        keeper.kill()
        assert wait_until(lambda: is_gone(pid), 10)


def test_a_child_inherits_what_was_imported_and_nothing_that_is_open(
    tmp_path: Path, make_program: Callable[..., Program]
) -> None:
    (tmp_path / "big_module.py").write_text("import os\nMADE_BY = os.getpid()\n")
    program = make_program(
        "heir",
        "import big_module, os, signal, sys\n"
        "print('imported by', big_module.MADE_BY, 'title', sys.argv[1:], 'leads', os.getsid(0) == os.getpid(),"
        " 'open', sorted(int(n) for n in os.listdir('/dev/fd'))[:4],"
        " 'term', signal.getsignal(15) == signal.SIG_DFL, flush=True)\n"
        "signal.pause()\n",
    )
    with keeping(tmp_path, make_program("a", WAIT), program, preload=("big_module",)) as keeper:
        line = lines_until(keeper, "imported")[-1]
        assert psutil.Process(keeper.pid).num_threads() == 1  # else it must not fork
    # 3 is the listing's own.
    expected = f"imported by {keeper.pid} title ['{tmp_path}'] leads True open [0, 1, 2, 3] term True"
    assert line == f"heir    | {expected}"


def test_without_a_plan_it_says_who_should_start_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "parlex.local.keeper"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "parlex up" in done.stderr
