"""Everything that ``parlex doctor`` can find wrong, once: what it prints, and the table in ``docs/doctor.md``."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. ``advice`` is what to do where it is not well."""

    name: str
    state: State
    found: str
    advice: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def well(name: str, found: str, *, of: str | None = None) -> Check:
    return Check(full_name(name, of), "ok", found)


def full_name(name: str, of: str | None) -> str:
    """Each line of an examination has a name of its own: ``clock redis``, ``freshness votes``."""
    return f"{name} {of}" if of else name


@dataclass(frozen=True, slots=True)
class Row:
    """``name``: of the check that finds it. ``otherwise``: another state, and when it is that."""

    name: str
    state: State
    means: str
    advice: str
    otherwise: tuple[State, str] | None = None


_IDLE: tuple[State, str] = ("warn", "where no worker lives")
_LINE = "what the line says; it names the cause"


class Finding(Enum):
    """In the order in which they are looked for."""

    SETTINGS_WRONG = Row(
        "settings", "fail", "a variable is not well formed, or its name is unknown", "mend the variable it names"
    )
    CONTACT_UNSET = Row(
        "contact",
        "fail",
        "PARLEX_CONTACT is not set, and the public sites are to be asked",
        "set PARLEX_CONTACT to your e-mail address or page: the public sites ask for one",
    )
    HOME_READ_ONLY = Row(
        "home", "fail", "PARLEX_HOME cannot be written, and is needed", "make it writable, or name another folder"
    )
    HOME_FULL = Row(
        "home", "fail", "the disk of PARLEX_HOME is full: less than 100 MB are free", "make room on that disk"
    )
    HOME_TIGHT = Row("home", "warn", "the disk of PARLEX_HOME is nearly full: less than 1 GB is free", "make room")
    SERVERS_NONE = Row(
        "servers", "fail", "no server was named, and none can be started here", "set DATABASE_URL and REDIS_URL"
    )
    DATABASE_UNUSABLE = Row(
        "database",
        "fail",
        "it does not answer, or lets us not in: away, a wrong user, password or database, TLS",
        _LINE,
    )
    DATABASE_ENCODING = Row(
        "database",
        "fail",
        "its encoding is not UTF8: it cannot hold every name",
        "make one with createdb --encoding=UTF8 --template=template0",
    )
    SCHEMA_NONE = Row("database", "warn", "it has no tables yet", "the first fetch makes them")
    SCHEMA_FOREIGN = Row(
        "database",
        "warn",
        "it holds tables, and none of them is Parlex's",
        "look whether DATABASE_URL names the right database; the first fetch makes ours beside them",
    )
    SCHEMA_OLD = Row("database", "fail", "its schema is older than this Parlex needs", "run: parlex db upgrade")
    SCHEMA_NEW = Row(
        "database", "fail", "it is newer than this Parlex, which leaves it alone", "install the newer Parlex here too"
    )
    RIGHTS_READ_ONLY = Row(
        "rights",
        "fail",
        "the database is read-only",
        "turn default_transaction_read_only off, or name the primary in DATABASE_URL",
    )
    RIGHTS_LACKING = Row(
        "rights",
        "fail",
        "the database's user may not read and write each of Parlex's tables",
        "grant select, insert, update, delete on all tables in the schema, or name their owner in DATABASE_URL",
    )
    RIGHTS_NO_CREATE = Row(
        "rights",
        "warn",
        "the database's user may not make tables, so that no upgrade can be made",
        "grant create on the schema, or upgrade as another user",
        ("fail", "where tables are still to be made"),
    )
    REDIS_UNUSABLE = Row(
        "redis",
        "fail",
        "it does not answer, or lets us not in: away, a wrong user, password or database number, TLS",
        _LINE,
    )
    REDIS_REFUSES_WRITES = Row(
        "redis", "fail", "it answers and refuses writes: full, a replica, a right that lacks, its disk", _LINE
    )
    POLICY_EVICTS = Row(
        "policy", "warn", "Redis may evict queues when it is full", "set maxmemory-policy noeviction on the server"
    )
    MEMORY_TIGHT = Row("memory", "warn", "Redis uses more than 80 % of its maxmemory", "raise maxmemory, or make room")
    CLOCK_OFF = Row(
        "clock", "warn", "a server's clock is more than 2 s from this host's", "synchronise the clocks (NTP)"
    )
    CLOCK_FAR = Row(
        "clock",
        "fail",
        "a server's clock is more than 20 s from this host's: ticks come early or late, and ages are told wrong",
        "synchronise the clocks (NTP)",
    )
    WORKERS_NONE = Row("workers", "warn", "nothing is running: no worker answers", "run: parlex up")
    WORKERS_MISSING = Row("workers", "fail", "a queue has no worker", "start it: parlex up, or see the Procfile")
    BEAT_NEVER = Row("beat", "fail", "it was never seen: nothing is scheduled", "run: parlex up", _IDLE)
    BEAT_SILENT = Row(
        "beat", "fail", "it was not seen for longer than PARLEX_ALERT_BEAT_MINUTES", "run: parlex up", _IDLE
    )
    BEAT_TWICE = Row(
        "beat",
        "warn",
        "more than one beat was seen: harmless, and by mistake",
        "stop all but one; one that was killed is forgotten in two minutes",
    )
    MIRRORS_MIXED = Row(
        "mirrors",
        "fail",
        "messages of another mirror came in the last day: two mirrors share one Redis database",
        "give each a Redis database of its own in REDIS_URL",
    )
    SCHEDULE_PAUSED = Row(
        "schedule", "warn", "a person paused an entry of the schedule", "to go on: parlex schedule resume, and its name"
    )
    HOST_BLOCKED = Row(
        "host",
        "warn",
        "a source asked to be left alone for more than an hour (Retry-After)",
        "wait; look who else asks it from this address",
    )
    HOST_FAILING = Row(
        "host", "warn", "a source failed several times in a row, and is left alone for a while", "see: parlex runs"
    )
    SOURCE_AWAY = Row(
        "source",
        "fail",
        "no connection to a source's host can be made (looked at with --ask-sources only)",
        "look at the network of this host: names, routes, a proxy",
    )
    FRESHNESS_NEVER = Row(
        "freshness", "warn", "the current list of a dataset was never had", "run: parlex fetch --dataset NAME"
    )
    FRESHNESS_STALE = Row(
        "freshness",
        "fail",
        "the current list of a dataset is older than PARLEX_ALERT_STALE_HOURS allow it",
        "see: parlex runs",
        _IDLE,
    )
    FRESHNESS_PROMISE = Row(
        "freshness",
        "fail",
        "a list or a detail is older than promised",
        "see: parlex monitor, parlex schedule list",
        _IDLE,
    )
    RUNS_STUCK = Row("runs", "fail", "an open run that nothing moves", "see: parlex monitor")
    QUARANTINE_OPEN = Row(
        "quarantine", "warn", "documents or fields wait for a person's word", "see: parlex quarantine list"
    )
    WORDS_UNKNOWN = Row(
        "words",
        "warn",
        "a source uses a word, as a status, that neither the code nor a person has named",
        "see: parlex words; to name it: parlex words add",
    )
    MESSAGES_LOST = Row(
        "messages", "warn", "alerts that could not be delivered for a day", "see: parlex alerts, parlex alerts test"
    )

    def check(self, found: str, *, of: str | None = None, state: State | None = None) -> Check:
        """What was found, as it is printed. ``of``: the one of several that it is about.

        A line that ends with what to do, after a colon, is parted there.
        """
        row: Row = self.value
        told = _TOLD.fullmatch(found)
        said, advice = (told[1], told[2]) if told and row.advice == _LINE else (found, row.advice)
        return Check(full_name(row.name, of), state or row.state, said, advice)


# A line of ``db.errors`` or ``redis_errors``: the cause, a colon, and what to do.
_TOLD = re.compile(
    r"(.*): ((?:add|alter|end|grant|look|make|mend|name|raise|run|see|set|start|take|turn) .*)", re.DOTALL
)


def table() -> str:
    """All of it in Markdown, for ``docs/doctor.md``."""
    lines = ["| check | says | means | what to do |", "| --- | --- | --- | --- |"]
    for finding in Finding:
        row: Row = finding.value
        says = row.state if row.otherwise is None else f"{row.state}; {row.otherwise[0]} {row.otherwise[1]}"
        lines.append(f"| `{row.name}` | {says} | {row.means} | {row.advice} |")
    return "\n".join(lines) + "\n"
