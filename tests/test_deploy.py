"""The examples in deploy/ are what their own tools call well formed, and start what the Procfile starts."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from honcho.environ import parse_procfile

from parlex.settings import Settings
from tests.test_structure import ROOT

SYSTEMD = ROOT / "deploy" / "systemd"
PROCESSES = {"worker-control", "worker-deliver", "worker-fetch", "worker-persist", "beat", "flower", "metrics", "web"}


def plain(words: list[str]) -> list[str]:
    """A command without what each place sets for itself."""
    own = re.compile(r"--(address|port|host)\b|^\$|^\d+(\.\d+)*$|^\S*/|^-c$|^exec$|^env$|^REMAP")
    return [word.rpartition("/")[2] if word.startswith("/") else word for word in words if not own.search(word)]


def procfile() -> dict[str, list[str]]:
    found = parse_procfile((ROOT / "Procfile").read_text()).processes
    return {name: plain(shlex.split(line.rpartition("; ")[2])) for name, line in found.items()}


def test_systemd_finds_nothing_to_say_about_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian: apt-get install systemd)")
    programs = tmp_path / "parlex" / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("celery", "parlex"):
        (programs / name).symlink_to("/bin/true")
    for unit in SYSTEMD.iterdir():
        # systemd wants to see the programs; they are where the reader put them.
        text = unit.read_text().replace("/opt/parlex", str(tmp_path / "parlex"))
        (tmp_path / unit.name).write_text(text)
    for queue in ("control", "fetch", "persist"):
        shutil.copy(tmp_path / "parlex-worker@.service", tmp_path / f"parlex-worker@{queue}.service")
    units = sorted(str(path) for path in tmp_path.glob("parlex*.[st]*") if "@." not in path.name)
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    # It also reads the units of this machine, which are not ours to mend.
    said = [line for line in done.stderr.splitlines() if "parlex" in line]
    assert (done.returncode, said) == (0, [])


def test_systemd_starts_what_the_procfile_starts() -> None:
    started = {}
    for unit in SYSTEMD.glob("*.service"):
        [line] = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
        name = unit.stem.removeprefix("parlex-")
        for queue in ("control", "fetch", "persist") if name == "worker@" else [""]:
            words = shlex.split(line.replace("%%", "%").replace("%i", queue))
            started[f"worker-{queue}" if queue else name] = [Path(words[0]).name, *plain(words[1:])]
    assert started.pop("migrate") == procfile()["release"]
    assert started == {name: procfile()[name] for name in PROCESSES}
    wanted = set(re.findall(r"parlex-[\w@-]+\.service", (SYSTEMD / "parlex.target").read_text()))
    assert len(wanted) == len(PROCESSES)


def test_a_database_that_comes_later_than_the_machine_keeps_no_unit_from_starting() -> None:
    """What requires a migration that failed is not started at all, and never again."""
    for unit in SYSTEMD.glob("*.service"):
        assert not re.search(r"^(Requires|Requisite|BindsTo)=", unit.read_text(), re.MULTILINE), unit.name
        assert re.search(r"^Restart=(always|on-failure)$", unit.read_text(), re.MULTILINE), unit.name


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    text = (ROOT / "deploy" / "kubernetes" / "parlex.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load_all(text))


def test_kubernetes_knows_every_field(objects: list[dict[str, Any]]) -> None:
    validate = pytest.importorskip(
        "kubernetes_validate", reason="pip install kubernetes-validate (108 MB of schemas) to check the example"
    )
    for one in objects:
        validate.validate(one, validate.latest_version(), strict=True)


def test_kubernetes_starts_what_the_procfile_starts_with_no_more_rights_than_needed(
    objects: list[dict[str, Any]],
) -> None:
    started = {}
    for one in objects:
        if one["kind"] not in ("Deployment", "Job"):
            continue
        pod = one["spec"]["template"]["spec"]
        [container] = pod["containers"]
        started[one["metadata"]["name"].removeprefix("parlex-")] = plain(container["command"])
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
    assert started.pop("migrate") == procfile()["release"]
    assert started == {name: procfile()[name] for name in PROCESSES}
    assert next(one for one in objects if one["metadata"]["name"] == "parlex-beat")["spec"]["strategy"] == {
        "type": "Recreate"
    }


def test_the_examples_name_only_variables_that_are_read(objects: list[dict[str, Any]]) -> None:
    known = {f"PARLEX_{name.upper()}" for name in Settings.model_fields}
    texts = [path.read_text() for path in SYSTEMD.iterdir()] + [str(objects)]
    assert set(re.findall(r"\bPARLEX_[A-Z_]+", " ".join(texts))) <= known
