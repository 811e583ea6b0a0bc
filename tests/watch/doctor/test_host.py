"""What the doctor says of settings, of the disk of PARLEX_HOME, and of the way to the sources."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from parlex.settings import LEGISINFO_PUBLIC, Settings
from parlex.watch.doctor import host
from parlex.watch.doctor.findings import Finding
from tests.watch.doctor.looks import only

MakeSettings = Callable[..., Settings]
MUCH = 1 << 60  # bytes: more than any disk has


def test_public_sites_and_nobody_to_write_to(make_settings: MakeSettings) -> None:
    given = {"legisinfo_url": LEGISINFO_PUBLIC}
    only([host.contact(make_settings(**given, contact=None))], Finding.CONTACT_UNSET)
    assert host.contact(make_settings(**given)).state == "ok"
    assert host.contact(make_settings(contact=None)).state == "ok"


def test_a_home_that_cannot_be_written(make_settings: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    only([host.home(make_settings(home=tmp_path / "file" / "home", database_url=None))], Finding.HOME_READ_ONLY)


def test_a_home_that_nothing_needs(make_settings: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert host.home(make_settings(home=tmp_path / "file" / "home"), full=MUCH).state == "ok"


def test_a_home_that_nothing_needs_and_is_there_is_looked_at(make_settings: MakeSettings, tmp_path: Path) -> None:
    only([host.home(make_settings(home=tmp_path), full=MUCH)], Finding.HOME_FULL)


def test_the_room_on_the_disk_of_the_home(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings(home=tmp_path / "not" / "yet", redis_url=None)
    only([host.home(settings, full=MUCH)], Finding.HOME_FULL)
    only([host.home(settings, full=0, tight=MUCH)], Finding.HOME_TIGHT)
    assert host.home(settings, full=0, tight=0).state == "ok"
    assert not settings.home.exists()


def test_a_source_that_takes_no_connection(make_settings: MakeSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        settings = make_settings(legisinfo_url=f"http://127.0.0.1:{port}", openparliament_url="http://127.0.0.1:1")
        checks = list(host.sources(settings))
    assert len(checks) == 2
    assert "port 1:" in only(checks, Finding.SOURCE_AWAY).found
