"""``make bench``: run the workloads, write ``bench/results.json`` and ``docs/performance.md``.

Results are kept after each workload, so that ``--only`` measures one again and leaves the others as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

from bench import mirror, page, stand_in
from bench.serving import serving
from bench.stand_in import ROOT
from bench.workloads import RIVAL_PYTHON, Bench, say, workloads

RESULTS = ROOT / "bench" / "results.json"
PAGE = ROOT / "docs" / "performance.md"


def main() -> int:
    asked = _arguments()
    if asked.page:
        PAGE.write_text(page.render(json.loads(RESULTS.read_text())))
        return 0
    if not asked.no_rivals:
        _install_rivals()
    results = _earlier() if asked.only else {}
    results |= {"machine": _machine(), "quick": asked.quick}
    with stand_in.running() as sources, mirror.servers(sources) as servers:
        results["sessions"] = sources.sessions
        bench = Bench(
            sources,
            servers,
            repeats=asked.repeats or (2 if asked.quick else 5),
            patience=5.0 if asked.quick else 300.0,
            deadline=time.monotonic() + asked.minutes * 60,
            quick=asked.quick,
        )
        try:
            for name, run in (workloads(bench) | {"serving": lambda: serving(bench)}).items():
                if not asked.only or name in asked.only:
                    _measure(name, run, results)
        finally:
            bench.close()
        results["unavailable"] = results.get("unavailable", {}) | bench.unavailable
        _keep(results, asked.quick)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short form, on a small session; writes no page")
    parser.add_argument("--only", action="append", metavar="NAME", help="this workload alone (may be repeated)")
    parser.add_argument("--repeats", type=int, help="rounds of each workload (5; quick: 2)")
    parser.add_argument("--minutes", type=float, default=60.0, help="then slow rivals are not repeated any more (60)")
    parser.add_argument("--no-rivals", action="store_true", help="do not install what the rivals need")
    parser.add_argument("--page", action="store_true", help="only write the page anew from the results")
    return parser.parse_args()


def _measure(name: str, run: Any, results: dict[str, Any]) -> None:
    say(f"{name}:")
    began = time.monotonic()
    try:
        found = run()
    except (RuntimeError, TimeoutError, OSError) as error:
        say(f"  failed: {error}")
        found = {"skipped": str(error)[:500]}
    results.setdefault("workloads", {})[name] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "took": time.monotonic() - began,
        **found,
    }
    _keep(results, bool(results["quick"]))


def _keep(results: dict[str, Any], quick: bool) -> None:
    if quick:  # a smoke test: nothing to publish
        return
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(page.render(results))


def _earlier() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return found


def _machine() -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": os.getloadavg()[0],
    }


def _install_rivals() -> None:
    """Into a virtual environment of their own. Without them the benchmark goes on, and says so."""
    wanted = ROOT / "bench" / "rivals" / "requirements.txt"
    stamp = RIVAL_PYTHON.parents[1] / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted.read_text():
        return
    say("installing what the rivals need")
    pip = [str(RIVAL_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)]
    try:
        subprocess.run([sys.executable, "-m", "venv", str(RIVAL_PYTHON.parents[1])], check=True)
        subprocess.run(pip, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"the rivals cannot be installed: {error}")
    else:
        stamp.write_text(wanted.read_text())


if __name__ == "__main__":
    sys.exit(main())
