"""What an error of the database means, as one line that a person can act on.

A failed connection has no code, only libpq's sentence; a failed statement has one. Anything that is neither about the
connection nor about rights, space or the schema is not explained here: it is an error of the program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg2

MEND = "mend DATABASE_URL"
AWAY = "the database does not answer"
READ_ONLY = "the database is read-only: turn default_transaction_read_only off, or name the primary in DATABASE_URL"


@dataclass(frozen=True, slots=True)
class Cause:
    """``text`` is the line; ``heals`` says whether waiting alone may help."""

    text: str
    heals: bool = False


# The codes of failed statements: https://www.postgresql.org/docs/current/errcodes-appendix.html
_CODES = {
    "25006": Cause(READ_ONLY),
    "42501": Cause("the database's user lacks a right ({said}): grant it, or name another user in DATABASE_URL"),
    "42P01": Cause("the database lacks a table of Parlex ({said}): run parlex db upgrade"),
    "53100": Cause("the database's disk is full: make room there", heals=True),
    "53200": Cause("the database is out of memory", heals=True),
    "53300": Cause("the database takes no more connections: raise max_connections, or end some", heals=True),
    "58030": Cause("the database cannot read or write its files ({said}): look at its disk"),
    "57P01": Cause(f"{AWAY}: it is being shut down", heals=True),
    "57P02": Cause(f"{AWAY}: it crashed", heals=True),
    "57P03": Cause(f"{AWAY}: it is starting up or being shut down", heals=True),
    "57P05": Cause(f"{AWAY}: it ended a connection that lay idle", heals=True),
    "28000": Cause(f"the database lets this user not in ({{said}}): {MEND}"),
    "28P01": Cause(f"the database refuses the password: {MEND}"),
    "3D000": Cause(f"the database that DATABASE_URL names does not exist: make it, or {MEND}"),
}
# The sentences of failed connections, of PostgreSQL, libpq and PgBouncer. The first that fits is meant.
_SENTENCES = [
    (r"no password supplied", Cause(f"the database asks for a password, and DATABASE_URL has none: {MEND}")),
    (
        r"(password|SASL) authentication failed|auth(entication)? failed|no such user",
        Cause(f"the database refuses the user or the password: {MEND}"),
    ),
    (r"role \S+ does not exist", Cause(f"the database does not know the user: make it, or {MEND}")),
    (r"is not permitted to log in", Cause("the database's user may not sign in: alter role … login")),
    (
        r"database \S+ does not exist|no such database",
        Cause(f"the database that DATABASE_URL names does not exist: make it, or {MEND}"),
    ),
    (r"permission denied", Cause("the database's user lacks a right ({said}): grant it, or name another user")),
    (
        r"no pg_hba\.conf entry.*no encryption",
        Cause("the database wants TLS here: add ?sslmode=require to DATABASE_URL"),
    ),
    (r"no pg_hba\.conf entry", Cause("the database's pg_hba.conf lets nobody in from here: add a line there")),
    (
        r"unsupported startup parameter",
        Cause(
            "the connection pooler refuses a start-up option of DATABASE_URL ({said}):"
            " take it out, or name it in the pooler's ignore_startup_parameters"
        ),
    ),
    (
        r"unrecognized configuration parameter|invalid connection option",
        Cause(f"DATABASE_URL has an unknown option: {MEND}"),
    ),
    (r"invalid \w+ value|invalid port|invalid dsn|missing \"=\"", Cause(f"DATABASE_URL is not well formed: {MEND}")),
    (r"does not support SSL", Cause("the database speaks no TLS, and DATABASE_URL asks for it: take sslmode out")),
    (
        r"certificate verify failed|root certificate file|certificate|invalid response to SSL negotiation|SSL error",
        Cause(f"no TLS connection to the database ({{said}}): {MEND}"),
    ),
    (
        r"expected authentication request",
        Cause(f"what answers at the address of the database is no PostgreSQL: {MEND}"),
    ),
    (r"could not translate host name", Cause(f"{AWAY}: its host name is not known here: {MEND}")),
    (
        r"too many (clients|connections)|connection slots|no more connections",
        Cause("the database takes no more connections: raise max_connections, or end some", heals=True),
    ),
    (
        r"Connection refused",
        Cause(f"{AWAY} (connection {{place}}refused): start it, or {MEND}", heals=True),
    ),
    (r"No such file or directory", Cause(f"{AWAY} (no socket {{place}}): start it, or {MEND}", heals=True)),
    (r"timeout expired|timed out", Cause(f"{AWAY} (timed out {{place}}): start it, or {MEND}", heals=True)),
    (r"No route to host|unreachable", Cause(f"{AWAY} (no way {{place}}): look at the network, or {MEND}", heals=True)),
    (
        r"starting up|shutting down|recovery mode|not (yet )?accepting connections",
        Cause(f"{AWAY}: it is starting up or being shut down", heals=True),
    ),
    (
        r"closed the connection|connection (already )?closed|terminating connection|server login has been failing"
        r"|could not (receive|send) data|Connection reset|server conn crashed|query_wait_timeout",
        Cause(f"{AWAY} (it closed the connection): look at its log", heals=True),
    ),
]
_PLACE = re.compile(r'connection to server (at "[^"]*"(?: \([^)]*\))?, port \d+|on socket "[^"]*")')


def explain(error: BaseException) -> str | None:
    """The cause and what to do, in one line without secrets; None for what is no trouble with the server.

    Takes errors of psycopg2, of SQLAlchemy around them, and of anything that was raised from one.
    """
    found = cause(error)
    return found.text if found else None


def can_heal(error: BaseException) -> bool:
    """Whether the same call may succeed later though nobody mends anything. A wrong password stays wrong."""
    found = cause(error)
    return found is not None and found.heals


def cause(error: BaseException) -> Cause | None:
    """As ``explain``, and whether waiting helps."""
    return next((known for one in _chain(error) if (known := _cause_of(one))), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from. SQLAlchemy keeps the driver's error as ``orig``."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = getattr(one, "orig", None) or one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _cause_of(error: BaseException) -> Cause | None:
    if not isinstance(error, psycopg2.Error):
        return None
    text = str(error)
    if error.pgcode:
        return _filled(_CODES[error.pgcode], text) if error.pgcode in _CODES else None
    for pattern, known in _SENTENCES:
        if re.search(pattern, text, re.IGNORECASE):
            return _filled(known, text)
    # What else a connection fails of; its text may hold what stands in the URL.
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return Cause(f"{AWAY}: start it, or {MEND}", heals=True)
    return None


def _filled(known: Cause, text: str) -> Cause:
    """``{said}``: the server's own words, the first line; ``{place}``: the host and port, or the socket, asked."""
    said = text.strip().partition("\n")[0]
    place = _PLACE.search(said)
    said = re.sub(r"^(?:.*? failed: )?(?:(?:FATAL|ERROR): +)?", "", said)
    where = f"to {place[1].removeprefix('at ').removeprefix('on ')} ".replace('"', "") if place else ""
    return Cause(known.text.replace("{said}", said).replace("{place}", where).replace(" )", ")"), known.heals)
