"""What ``parlex doctor`` sees without any server: settings, this host's disk, and the way to the sources."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from parlex.errors import ConfigurationError
from parlex.local import embedded
from parlex.settings import Settings
from parlex.watch.doctor.findings import Check, Finding, well

MEGABYTE = 1024 * 1024
FULL = 100 * MEGABYTE  # a PostgreSQL writes logs of 16 MB at a time
TIGHT = 1024 * MEGABYTE
CONNECT_SECONDS = 5.0


def contact(settings: Settings) -> Check:
    try:
        settings.require_contact()
    except ConfigurationError:
        return Finding.CONTACT_UNSET.check("PARLEX_CONTACT is not set")
    said = "the sources learn whom to write to" if settings.contact else "not needed: the public sites are not asked"
    return well("contact", said)


def servers(settings: Settings) -> Check:
    if names_servers(settings):
        return well("servers", "DATABASE_URL and REDIS_URL name them")
    if embedded.running(settings.home):
        return well("servers", f"embedded ones run in {settings.home}")
    return well("servers", "nothing is running; embedded ones are started while they are needed")


def home(settings: Settings, *, full: int = FULL, tight: int = TIGHT) -> Check:
    """``full`` and ``tight``: bytes to be free at least."""
    if names_servers(settings) and not settings.home.is_dir():
        return well("home", "not needed: DATABASE_URL and REDIS_URL name servers")
    place = _nearest(settings.home)
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return Finding.HOME_READ_ONLY.check(f"{settings.home} cannot be written")
    free = shutil.disk_usage(place).free
    said = f"{free // MEGABYTE:,} MB are free on the disk of {settings.home}"
    if free < full:
        return Finding.HOME_FULL.check(said)
    return Finding.HOME_TIGHT.check(said) if free < tight else well("home", said)


def sources(settings: Settings) -> Iterator[Check]:
    """Whether a connection can be made; nothing is asked, so that this counts against nobody's budget."""
    for url in sorted({settings.legisinfo_url, settings.openparliament_url}):
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            yield Finding.SOURCE_AWAY.check(f"no way to port {port}: {error.strerror or error}", of=parts.hostname)
        else:
            yield well("source", f"port {port} takes connections", of=parts.hostname)


def names_servers(settings: Settings) -> bool:
    """Whether no embedded server is needed."""
    return settings.database_url is not None and settings.redis_url is not None


def _nearest(path: Path) -> Path:
    """The folder, or where it will be made."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
