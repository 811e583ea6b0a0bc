"""The long-term store of documents: a folder, or a bucket that speaks S3, named by ``PARLEX_ARCHIVE_URL``.

Each body is one object, ``ab/abcd….json.zz``: its sha256, and the bytes compressed by zlib. An object is written whole
or not at all and never changes, so writing it twice is harmless, and a copy of the folder is a copy of the archive.

    /var/lib/parlex/archive            a folder, made when it is first written to (also as file:///…)
    s3://bucket/prefix                 credentials and region by the usual AWS_… variables, or in the query:
    s3://bucket/prefix?endpoint=https://minio.example:9000&region=ca-central-1&access_key_id=…&secret_access_key=…
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from parlex.errors import ConfigurationError, ParlexError, Retryable

_SHA256 = re.compile(r"[0-9a-f]{64}")
_OPTIONS = ("endpoint", "region", "access_key_id", "secret_access_key", "session_token")
# One step of housekeeping must not hang for a bucket that is away; the next hour tries again.
_PATIENCE = timedelta(seconds=20)
_RETRIES = 1
# Without credentials the library asks the host's own services for some, and tells of those.
_METADATA = re.compile(r"/latest/(api/token|meta-data)|//169\.254\.")
_MISSING = {"AccessKeyId": "AWS_ACCESS_KEY_ID", "SecretAccessKey": "AWS_SECRET_ACCESS_KEY"}
_CREDENTIALS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name access_key_id and secret_access_key in the address"
)
_THREADS = 8  # writes under way at once; a bucket's answer takes some 50 ms


class ArchiveDamaged(ParlexError):
    """An object is there, and is not the document that its name promises."""


class Archive:
    """Thread-safe. ``place`` names it in messages, without its secrets."""

    def __init__(self, store: ObjectStore, place: str, root: Path | None = None) -> None:
        self._store = store
        self._root = root
        self.place = place

    def put_all(self, bodies: Mapping[str, bytes]) -> None:
        """Keep bodies as PostgreSQL has them (zlib), by their sha256. Retryable if the archive does not take one."""
        with ThreadPoolExecutor(_THREADS, "archive") as pool:
            list(pool.map(self.put, bodies, bodies.values()))

    def put(self, sha256: str, body: bytes) -> None:
        """Keep one compressed body. Retryable if the archive does not take it."""
        path = self._inside(object_path(sha256))
        with self._errors():
            obstore.put(self._store, path, body, use_multipart=False)

    def get(self, sha256: str) -> bytes | None:
        """A body, decompressed; None if the archive does not have it.

        Retryable if it does not answer; ArchiveDamaged if what it has is something else.
        """
        with self._errors():
            try:
                kept = bytes(obstore.get(self._store, object_path(sha256)).bytes())
            except FileNotFoundError:
                return None
        return self._checked(sha256, kept)

    def _checked(self, sha256: str, kept: bytes) -> bytes:
        try:
            body = zlib.decompress(kept)
        except zlib.error as error:
            raise ArchiveDamaged(f"{self.place}: {object_path(sha256)} is damaged ({error})") from error
        if hashlib.sha256(body).hexdigest() != sha256:
            raise ArchiveDamaged(f"{self.place}: {object_path(sha256)} is damaged: its bytes are another document's")
        return body

    def _inside(self, path: str) -> str:
        """The path, unless a link in the folder leads out of it: nothing is ever written elsewhere."""
        if self._root is not None:
            root = self._root.resolve()
            if not (root / path).resolve().is_relative_to(root):
                raise ConfigurationError(f"PARLEX_ARCHIVE_URL: {path} leads out of {self._root}; remove that link")
        return path

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            raise refusal(error, f"the archive {self.place}") from error


def refusal(error: Exception, what: str) -> ParlexError:
    """What an error of the library means: Retryable, or ConfigurationError where there are no credentials at all."""
    # The library's text goes on with a dump for its own developers.
    reason = str(error).partition("\n")[0]
    if _METADATA.search(reason):
        return ConfigurationError(f"{what} needs credentials: {_CREDENTIALS}")
    return Retryable(f"{what} does not answer: {reason}")


def object_path(sha256: str) -> str:
    """Where a document lies; ValueError for a name that is no sha256, so that no path can be made of it."""
    if _SHA256.fullmatch(sha256) is None:
        raise ValueError(f"{sha256!r} is not a sha256")
    return f"{sha256[:2]}/{sha256}.json.zz"


def open_archive(url: str) -> Archive:
    """The archive at a folder's path, ``file://`` or ``s3://``. ConfigurationError for anything else."""
    if urlsplit(url).scheme == "s3":
        return _bucket(url)
    if (folder := folder_of(url)) is not None:
        return _folder(folder)
    raise ConfigurationError("PARLEX_ARCHIVE_URL: must be a folder or begin with s3://")


def folder_of(url: str) -> Path | None:
    """The folder that an archive's address names, by its path or ``file://``; None for one that names no folder."""
    parts = urlsplit(url)
    if parts.scheme in ("", "file") and not parts.netloc:
        return Path(unquote(parts.path) if parts.scheme else url)
    return None


def _folder(root: Path) -> Archive:
    try:
        root.mkdir(parents=True, exist_ok=True)
        return Archive(LocalStore(prefix=root.absolute()), str(root), root)
    except (BaseError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"PARLEX_ARCHIVE_URL: {root} cannot be used as a folder ({reason})") from error


def _bucket(url: str) -> Archive:
    parts = urlsplit(url)
    return Archive(open_bucket(url, "PARLEX_ARCHIVE_URL"), f"s3://{parts.hostname}{parts.path}")


def open_bucket(url: str, variable: str) -> S3Store:
    """The bucket at ``s3://bucket/prefix?…``. ConfigurationError, with the ``variable``'s name, for another URL."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown or not parts.hostname or parts.username:
        what = f"unknown option {unknown[0]}" if unknown else "must read s3://bucket/prefix"
        raise ConfigurationError(f"{variable}: {what}; options are {', '.join(_OPTIONS)}")
    plain = options.get("endpoint", "").startswith("http://")
    try:
        return S3Store(
            parts.hostname,
            prefix=parts.path.strip("/") or None,
            config=dict(options),  # type: ignore[arg-type]
            client_options={"allow_http": plain, "timeout": _PATIENCE, "connect_timeout": _PATIENCE / 4},
            retry_config={"max_retries": _RETRIES, "retry_timeout": _PATIENCE},
        )
    except BaseError as error:
        reason = str(error).partition("\n")[0]
        lacks = [name for word, name in _MISSING.items() if reason.endswith(f"Missing {word}")]
        why = f"{lacks[0]} is missing, though the other key is set" if lacks else reason
        raise ConfigurationError(f"{variable}: {why}") from error
