"""Strict reading, the same for every source: whatever a document does not promise ends as a DocumentError.

The decoders are typed and take only the keys that are used; types are exact ("1" and 1.0 are no integers), integers fit
their columns, texts hold nothing that PostgreSQL or a terminal could not take.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from parlex.errors import DocumentError
from parlex.fetching.document import Document

T = TypeVar("T")

# C0 controls but TAB, LF and CR. Lone surrogates are refused by the decoder itself.
Text = Annotated[str, Meta(pattern=r"\A[^\x00-\x08\x0b\x0c\x0e-\x1f]*\Z")]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Id = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Parliament = Annotated[int, Meta(ge=1, le=999)]
Session = Annotated[int, Meta(ge=1, le=99)]
NaiveTime = Annotated[datetime, Meta(tz=False)]
AwareTime = Annotated[datetime, Meta(tz=True)]

CONFEDERATION = 1867  # No bill of this Parliament is older; a date before it is a sentinel or an error.

_BOM = b"\xef\xbb\xbf"
_AT = re.compile(r"(?P<reason>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is read: the source, the document's url and, once they are known, the record and its part.

    ``part`` is named as the record names it, ``path`` as the document does.
    """

    source: str
    document: str
    key: str | None = None
    part: str | None = None
    path: str | None = None

    def of(self, key: object) -> Place:
        return replace(self, key=str(key))

    def at(self, part: str, path: str | None = None) -> Place:
        """The place of a part of the record."""
        return replace(self, part=part, path=path or self.path)

    def error(self, reason: str, field: str | None = None) -> DocumentError:
        field = ".".join(filter(None, (self.path, field))) or None
        return DocumentError(
            reason, source=self.source, document=self.document, key=self.key, field=field, part=self.part
        )


def json_of(document: Document, place: Place) -> bytes:
    """The body without its byte order mark, all of it UTF-8, also where no decoder will look."""
    body = document.body.removeprefix(_BOM)
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise place.error(f"not UTF-8 at byte {error.start}") from error
    return body


def decode(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw, place: Place) -> T:
    """Decode, or DocumentError with the field's path."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        reason, field = _explain(str(error))
        raise place.error(reason, field) from error
    except ValueError as error:  # DecodeError and UnicodeDecodeError are such
        raise place.error(f"not JSON: {error}") from error
    except RecursionError as error:
        raise place.error("nested too deeply") from error


def optional(text: str | None) -> str | None:
    """Strip the ends; a blank text is null."""
    return (text or "").strip() or None


def required(text: str, field: str, place: Place) -> str:
    stripped = text.strip()
    if not stripped:
        raise place.error("is blank", field)
    return stripped


def plausible(day: date, field: str, place: Place) -> date:
    if day.year < CONFEDERATION:
        raise place.error(f"{day.isoformat()} is before Confederation", field)
    return day


def quoted(text: str) -> str:
    """Upstream text inside an error message: one line, and not a page of it."""
    return repr(text if len(text) <= 120 else text[:120] + "…")


def _explain(message: str) -> tuple[str, str | None]:
    """Split msgspec's message into the reason and the upstream field."""
    match = _AT.fullmatch(message)
    assert match is not None
    reason, path = match["reason"], re.sub(r"^\[0\]", "", match["path"] or "")
    missing = _MISSING.fullmatch(reason)
    if missing:
        reason, path = "is missing", f"{path}.{missing['name']}"
    if "matching regex" in reason:
        reason = "holds a control character"
    return reason, path.removeprefix(".") or None
