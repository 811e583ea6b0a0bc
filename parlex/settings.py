"""Every environment variable, typed, read in one place. A bad or unknown one stops the start and is named.

Nothing else in the project reads the environment. ``load()`` reads it afresh; ``settings()`` is the process's own copy.
``python -m parlex.settings`` only looks.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from parlex.errors import ConfigurationError

LEGISINFO_PUBLIC = "https://www.parl.ca"
OPENPARLIAMENT_PUBLIC = "https://api.openparliament.ca"

# Names that begin like ours and are no settings: who reads them instead.
NOT_SETTINGS = {"PARLEX_IMAGE": "docker-compose.yml", "PARLEX_STAND_IN": "make conformance"}
NOT_SETTINGS_PREFIX = "PARLEX_TEST_"  # what the tests read

# What libraries read for themselves, and fail over later and at length where it is wrong.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

EXAMPLE_PASSWORD = "change-me"  # how the passwords of an older .env.example begin

HIDDEN = "***"  # in place of a secret

_DRIVER = re.compile(r"^postgres(ql)?(\+psycopg2)?://")
MAIL = re.compile(r"[^@\s()<>]+@[^@\s()<>]+\.[^@\s()<>.]+")
_PAGE = re.compile(r"https?://[^/@\s()<>]+\.[^@\s()<>]+")
_HOW_TO_WRITE = "in a name or password write @ as %40, : as %3A, / as %2F, # as %23, ? as %3F"

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


# Where no Redis is, for what needs an address and never asks. Port 1 refuses at once.
UNREACHABLE = "redis://127.0.0.1:1/0"


class Settings(BaseSettings):
    """The configuration of one process. Field names are the variables, ``PARLEX_`` left off where they have it."""

    # Compose files and .env files hand out empty strings for what is not set.
    model_config = SettingsConfigDict(
        env_prefix="PARLEX_",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        env_ignore_empty=True,
        allow_inf_nan=False,
    )

    # Where the data lives. Unset means: an embedded server in PARLEX_HOME.
    database_url: SecretStr | None = Field(default=None, validation_alias="DATABASE_URL")
    redis_url: SecretStr | None = Field(default=None, validation_alias="REDIS_URL")
    home: Path = Path("var")
    archive_url: SecretStr | None = None  # a folder or s3://bucket/prefix; its query may hold a secret

    # The sources, and how gently to ask them.
    legisinfo_url: str = LEGISINFO_PUBLIC
    openparliament_url: str = OPENPARLIAMENT_PUBLIC
    contact: str | None = None
    legisinfo_rate: Annotated[float, Field(ge=0)] = 60.0  # requests a minute; others report no trouble at one a second
    openparliament_rate: Annotated[float, Field(ge=0)] = 25.0  # an older text of the site allows 30 a minute
    companion_sample: Annotated[int, Field(ge=0)] = 20  # details a day that only tell whether what follows is right
    connect_timeout: Annotated[float, Field(gt=0)] = 5.0  # seconds
    read_timeout: Annotated[float, Field(gt=0)] = 20.0  # seconds between two pieces of an answer
    max_body_bytes: Positive = 32 * 1024 * 1024  # the largest real answer is a list of all sessions, about 12 MB
    sitting_limit: Positive = 200  # details in one tick while Parliament sits; some 150 bills are alive in a session
    fetch_threads: Positive = 16  # requests in flight inside one chunk
    retry_delay: Annotated[float, Field(ge=0)] = 60.0  # seconds before the first retry; doubles twice

    # How long work may lie still before somebody else takes it up.
    lease_seconds: Positive = 180  # a chunk of polite requests takes about 30 s, of hanging ones about 100 s
    abandon_after_minutes: Annotated[float, Field(gt=0)] = 30.0  # without progress, though work was due
    resend_after_seconds: Positive = 120  # a message that nobody took up; four polite chunks wait about two minutes
    keep_house_seconds: Positive = 30  # between two looks for what is overdue or dead; also the heartbeat

    # When a sweep is to be believed (see guards.py for the reasons).
    guard_max_shrink: Share = 0.1
    guard_max_blanked: Share = 0.5
    guard_min_rows: Positive = 5

    # Keeping house.
    keep_logs_days: Positive = 365
    keep_documents_days: Positive = 90
    run_deadline_minutes: Positive = 24 * 60

    # Whom to tell of trouble, and when it is trouble (see rules.py).
    alert_urls: SecretStr | None = None  # Apprise addresses, apart by blanks or commas; most hold a secret
    alert_stale_hours: Annotated[float, Field(gt=0)] = 3.0  # the session is listed hourly; two ticks may be lost
    alert_failures_in_row: Annotated[int, Field(ge=2)] = 3  # a source that is down for an hour fails one run or two
    alert_beat_minutes: Annotated[float, Field(gt=0)] = 5.0  # beat is seen twice a minute
    alert_queue_minutes: Annotated[float, Field(gt=0)] = 30.0  # four polite chunks of a run wait about two minutes
    alert_budget_minutes: Annotated[float, Field(gt=0)] = 30.0  # a host that asks for patience asks for minutes
    alert_quarantine_growth: Positive = 1  # each new row is for a person to look at
    alert_repeat_hours: Annotated[float, Field(gt=0)] = 12.0  # twice a day: not forgotten, and not a nuisance
    alert_clear_minutes: Annotated[float, Field(ge=0)] = 5.0  # well for so long before the all-clear: no flapping

    # Where the nightly export goes: a folder or s3://bucket/prefix. Unset: there is none.
    export_url: SecretStr | None = None

    sentry_dsn: SecretStr | None = Field(default=None, validation_alias="SENTRY_DSN")

    flower_basic_auth: SecretStr | None = Field(default=None, validation_alias="FLOWER_BASIC_AUTH")  # name:password
    flower_url_prefix: str | None = Field(default=None, validation_alias="FLOWER_URL_PREFIX")  # a path, by a proxy

    # Who may ask the server, how often (requests a minute; 0 = no limit), and by which proxies.
    web_rate: Annotated[int, Field(ge=0)] | None = None  # of a client without a key; unset: see web/door.py
    web_key_rate: Annotated[int, Field(ge=0)] = 6000
    web_url: str | None = None  # where people reach the server, for the links in what is sent; unset: on this machine
    web_proxies: str | None = None  # addresses and networks whose X-Forwarded-For is believed, apart by commas

    # What subscribers are sent (see parlex/follow).
    follow_private: bool = False  # whether a receiver may be on a private address: for tests and intranets
    follow_most: Positive = 5000  # lines that one look may find; for more, one message says where they are
    smtp_url: SecretStr | None = None  # smtp://name:password@host:port, smtps://…; ?from= says who sends

    log_format: Literal["console", "json"] = "console"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator(
        "database_url",
        "redis_url",
        "archive_url",
        "contact",
        "alert_urls",
        "export_url",
        "sentry_dsn",
        "flower_basic_auth",
        "flower_url_prefix",
        "web_url",
        "web_proxies",
        "smtp_url",
        mode="before",
    )
    @classmethod
    def _blank_is_unset(cls, value: object) -> object:
        """Compose files and ``.env`` files hand out empty strings for what is not set."""
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator("database_url")
    @classmethod
    def _postgresql_by_psycopg2(cls, value: SecretStr | None) -> SecretStr | None:
        """Hosts hand out ``postgres://``; SQLAlchemy 2.1 would read ``postgresql://`` as psycopg 3."""
        if value is None:
            return None
        url, found = _DRIVER.subn("postgresql+psycopg2://", value.get_secret_value())
        if not found:
            raise ValueError("must begin with postgresql:// or postgres://")
        parts = _split_sign_in(url)
        if not (parts.hostname or parts.query) or not parts.path.strip("/"):
            raise ValueError("must name a host and a database, like postgresql://user:password@host/name")
        _require_options_of_postgresql(parts.query)
        return SecretStr(url)

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        parts = _split_sign_in(value.get_secret_value())
        if parts.scheme not in ("redis", "rediss"):
            raise ValueError("must begin with redis:// or rediss://")
        if not parts.hostname or not (parts.path.strip("/") or "0").isdecimal():
            raise ValueError("must name a host, and a database by its number, like redis://:password@host:6379/0")
        if parts.query:
            _require_options_of_redis(value.get_secret_value())
        return value

    @field_validator("archive_url", "export_url")
    @classmethod
    def _folder_or_bucket(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        parts = _split(value.get_secret_value())
        if parts.scheme == "s3" and not parts.hostname:
            raise ValueError("must name a bucket, like s3://bucket/prefix")
        if parts.scheme not in ("", "file", "s3") or (parts.scheme != "s3" and parts.netloc):
            raise ValueError("must be a folder or begin with s3://")
        return value

    @field_validator("alert_urls")
    @classmethod
    def _apprise_addresses(cls, value: SecretStr | None) -> SecretStr | None:
        """The form alone: which services there are is Apprise's to say, whose import every process would pay for."""
        if value and not re.match(r"\s*[a-z][a-z0-9+.-]*://", value.get_secret_value(), re.IGNORECASE):
            raise ValueError("must be addresses for Apprise, like mailto://… or slack://…")
        return value

    @field_validator("contact")
    @classmethod
    def _address_or_page(cls, value: str | None) -> str | None:
        if value and not (MAIL.fullmatch(value) or _PAGE.fullmatch(value)):
            raise ValueError("must be an e-mail address or a page, like you@example.org or https://example.org/about")
        return value

    @field_validator("flower_basic_auth")
    @classmethod
    def _name_and_password(cls, value: SecretStr | None) -> SecretStr | None:
        """Flower takes users apart at the commas, and compares in ASCII."""
        given = [pair.partition(":") for pair in value.get_secret_value().split(",")] if value else []
        if not all(name.strip() and password for name, _, password in given):
            raise ValueError("must be user:password, several apart by commas; a password cannot hold a comma")
        if value and not value.get_secret_value().isascii():
            raise ValueError("must be plain ASCII: Flower lets nobody in with another password")
        if any(password.startswith(EXAMPLE_PASSWORD) for _, _, password in given):
            raise ValueError("its password is the example's: choose your own")
        return value

    @field_validator("sentry_dsn")
    @classmethod
    def _dsn(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        parts = _split(value.get_secret_value())
        if parts.scheme not in ("http", "https") or not parts.username or not parts.hostname:
            raise ValueError("must be a DSN of Sentry, like https://key@host/1")
        if not parts.path.rpartition("/")[2].isdecimal():
            raise ValueError("must end with the number of a project, like https://key@host/1")
        return value

    @field_validator("web_proxies")
    @classmethod
    def _addresses(cls, value: str | None) -> str | None:
        """Names are not looked up, and would be spoofed."""
        try:
            networks = [ip_network(one.strip()) for one in value.split(",")] if value else []
        except ValueError:
            raise ValueError("must be addresses or networks, apart by commas, like 10.0.0.0/8, 192.0.2.7") from None
        if any(network.prefixlen == 0 for network in networks):
            raise ValueError("must not be everybody: name the addresses of the proxies")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        url, _, query = value.get_secret_value().partition("?")
        parts = _split_sign_in(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path.strip("/"):
            raise ValueError("must begin with smtp:// or smtps:// and name a host")
        options = dict(parse_qsl(query, keep_blank_values=True))
        if options.keys() - {"from"} or not MAIL.fullmatch(options.get("from", "a@b.c")):
            raise ValueError("has one option, from, which is an e-mail address")
        return value

    @field_validator("web_url")
    @classmethod
    def _address_of_ours(cls, value: str | None) -> str | None:
        return None if value is None else cls._origin_only(value)

    @field_validator("legisinfo_url", "openparliament_url")
    @classmethod
    def _origin_only(cls, value: str) -> str:
        parts = _split(value)
        more = parts.path.strip("/") or parts.query or "@" in parts.netloc
        if parts.scheme not in ("http", "https") or not parts.hostname or more:
            raise ValueError("must be scheme, host and port only, like https://www.parl.ca")
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def proxies(self) -> tuple[str, ...]:
        """The proxies before the server, an address or a network each."""
        return tuple(one.strip() for one in self.web_proxies.split(",")) if self.web_proxies else ()

    @property
    def asks_public_sites(self) -> bool:
        return self.legisinfo_url == LEGISINFO_PUBLIC or self.openparliament_url == OPENPARLIAMENT_PUBLIC

    def require_contact(self) -> None:
        """ConfigurationError unless the public sites would learn whom to write to."""
        if self.asks_public_sites and self.contact is None:
            raise ConfigurationError("set PARLEX_CONTACT to your e-mail address or page: the public sites ask for one")


def _require_options_of_postgresql(query: str) -> None:
    """ValueError for an option that the client does not know. Its name is told, and never its value."""
    from psycopg2 import ProgrammingError
    from psycopg2.extensions import make_dsn

    for name, value in parse_qsl(query, keep_blank_values=True):
        try:
            make_dsn(**{name: value})
        except (ProgrammingError, TypeError):
            raise ValueError(f"has an option that PostgreSQL's client does not know: {name}") from None


def _require_options_of_redis(url: str) -> None:
    """As for PostgreSQL. No connection is made."""
    from redis import ConnectionPool

    try:
        ConnectionPool.from_url(url).make_connection()
    except (TypeError, ValueError):
        names = ", ".join(name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True))
        raise ValueError(f"has options that the Redis client does not know, or not with that value: {names}") from None


def _split(url: str) -> SplitResult:
    """The parts of an address. A password with characters that end one makes a port that is none, and is not shown."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(f"is no address: its port must be a number ({_HOW_TO_WRITE})") from None
    return parts


def _split_sign_in(url: str) -> SplitResult:
    """The parts of a server's address, whose name and password hold no character that ends them.

    Such an address is not only wrong: what is taken for its host, its database or its options is a piece of the
    password, which the errors of libraries then show.
    """
    parts = _split(url)
    sign_in, _, _ = parts.netloc.rpartition("@")
    beyond = url.partition("://")[2].removeprefix(parts.netloc)
    is_cut = "@" in parts.path or "#" in beyond or ("@" in beyond and parts.netloc and not sign_in)
    if is_cut or "@" in sign_in or sign_in.count(":") > 1:
        raise ValueError(f"has a character in its sign-in that ends it: {_HOW_TO_WRITE}")
    if unquote(parts.password or "").startswith(EXAMPLE_PASSWORD):
        raise ValueError("its password is the example's: choose your own")
    return parts


def _unknown_names(names: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable that begins like ours and that nobody reads."""
    known = {_variable(name) for name in Settings.model_fields}
    for name in sorted(names):
        ours = name.startswith("PARLEX_") and not name.startswith(NOT_SETTINGS_PREFIX)
        if ours and name not in known and name not in NOT_SETTINGS:
            near = difflib.get_close_matches(name, known, n=1)
            yield f"{name}: is no variable of Parlex" + (f"; is {near[0]} meant?" if near else "")


def _of_libraries(names: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable of theirs that would stop us later."""
    for name in PROXIES:
        # The small letters win, as in the libraries.
        found = next((n for n in (name.lower(), name) if names.get(n)), None)
        if found and (wrong := _wrong_proxy(names[found])):
            yield f"{found}: {wrong}"
    for name in CERTIFICATES:
        if names.get(name) and not _holds_certificates(Path(names[name])):
            yield f"{name}: names no file with certificates that can be read"
    if names.get("SSL_CERT_DIR") and not any(Path(part).is_dir() for part in names["SSL_CERT_DIR"].split(os.pathsep)):
        yield "SSL_CERT_DIR: names no folder"


def _wrong_proxy(url: str) -> str | None:
    try:
        parts = _split_sign_in(url if "://" in url else f"http://{url}")
    except ValueError as error:
        return str(error)
    if parts.scheme in ("socks5", "socks5h"):
        if find_spec("socksio") is None:
            return "a SOCKS proxy needs the package socksio: pip install socksio, or name a proxy that speaks HTTP"
    elif parts.scheme not in ("http", "https"):
        return "must begin with http://, https:// or socks5://"
    return None if parts.hostname else "must name a host, like http://proxy.example.org:3128"


def _holds_certificates(file: Path) -> bool:
    try:
        return b"-----BEGIN " in file.read_bytes()
    except OSError:
        return False


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment of a child process that is to read these settings, and ``more`` beside them."""
    told = {_variable(name): _text(getattr(settings, name)) for name in Settings.model_fields}
    kept = {name: value for name, value in os.environ.items() if name not in told}
    return kept | {name: value for name, value in told.items() if value is not None} | more


@dataclass(frozen=True, slots=True)
class Effective:
    """One variable as it is in force. ``value``: None for what is unset; ``HIDDEN`` where it may hold a secret."""

    variable: str
    value: str | int | float | None
    origin: Literal["default", "environment"]


def effective(settings: Settings) -> list[Effective]:
    """Every variable with its value, and whether the environment or the default gave it, in the order of the settings.

    There is no other place: no ``.env`` file is read but by those who start Parlex, and then it is in the environment.
    """
    return [_effective(settings, name) for name in Settings.model_fields]


def _effective(settings: Settings, name: str) -> Effective:
    value = getattr(settings, name)
    # A blank is in the environment, and says nothing.
    given = name in settings.model_fields_set and value is not None
    if isinstance(value, SecretStr):
        value = HIDDEN
    shown = value if value is None or isinstance(value, int | float) else str(value)
    return Effective(_variable(name), shown, "environment" if given else "default")


def load() -> Settings:
    """Read the environment; ConfigurationError names each variable that is wrong, and never its value."""
    wrong = [*_unknown_names(os.environ), *_of_libraries(os.environ)]
    try:
        found = Settings()
    except ValidationError as error:
        wrong = [_sentence(e["loc"], e["msg"]) for e in error.errors()] + wrong
    if wrong:
        raise ConfigurationError("; ".join(wrong))
    return found


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return load()


def _variable(name: str) -> str:
    alias = Settings.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else f"PARLEX_{name.upper()}"


def _text(value: object) -> str | None:
    """As it stands in the environment; None for what is unset."""
    return None if value is None else str(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _sentence(loc: tuple[int | str, ...], message: str) -> str:
    name = str(loc[0]) if loc else "settings"
    variable = name if name.isupper() else f"PARLEX_{name.upper()}"
    return f"{variable}: {message.removeprefix('Value error, ')}"


def main() -> int:
    """Only look: exit code 2, and a line on standard error, if a variable is wrong."""
    try:
        load()
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    print("every variable is well formed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
