"""Documents of many keys, parsed: what was just fetched, beside what stands of the sources that said nothing new."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from parlex.errors import DocumentError
from parlex.fetching.document import Document
from parlex.mirror.quarantine import Parked

BATCH = 200  # records in memory at a time: some 50 KB a bill, with the documents of both sources

Parse = Callable[[str, str, Document], Any]  # key, source, document; DocumentError for what cannot be read
Found = Mapping[tuple[str, str], Document]


class Reading:
    """``parsed`` and ``documents`` by key and source. ``fresh``: what was just offered and could be read. ``refused``:
    keys whose deciding source offered what cannot be read. ``errors``: what could not, by key and source."""

    def __init__(self, parse: Parse, decides: frozenset[str]) -> None:
        self._parse = parse
        self._decides = decides
        self.parsed: dict[str, dict[str, Any]] = {}
        self.documents: dict[tuple[str, str], Document] = {}
        self.fresh: set[tuple[str, str]] = set()
        self.refused: set[str] = set()
        self.errors: dict[tuple[str, str], DocumentError] = {}
        self.parked: list[Parked] = []
        self.odd: dict[str, list[str]] = {}  # the parts that could not be read, by key

    def take(self, offered: Found, scope_of: Callable[[str], str]) -> None:
        """Documents that were just fetched."""
        for (key, source), document in offered.items():
            try:
                self._read(key, source, document)
            except DocumentError as error:
                self.errors[key, source] = error
                self.parked.append(_parked("document", key, source, document, error, scope_of(key)))
                if source in self._decides:
                    self.refused.add(key)
            else:
                self.fresh.add((key, source))
                odd = _odd(self.parsed[key][source])
                self.parked += [_parked("part", key, source, document, error, scope_of(key)) for error in odd]

    def fill(self, standing: Found) -> None:
        """The documents that stand, for the sources that offered nothing good. They were good when they were kept."""
        for (key, source), document in standing.items():
            if (key, source) in self.documents:
                continue
            try:
                self._read(key, source, document)
            except DocumentError as error:
                # Today's code is stricter than the code that kept it.
                self.errors.setdefault((key, source), error)

    def _read(self, key: str, source: str, document: Document) -> None:
        self.parsed.setdefault(key, {})[source] = self._parse(key, source, document)
        self.documents[key, source] = document
        self.odd.setdefault(key, []).extend(error.part for error in _odd(self.parsed[key][source]) if error.part)

    @property
    def whole(self) -> dict[str, dict[str, Any]]:
        """The keys of which each deciding source says something that can be read."""
        return {
            key: by_source
            for key, by_source in self.parsed.items()
            if key not in self.refused and self._decides <= by_source.keys()
        }

    def sha256(self, key: str, source: str | None) -> str | None:
        document = self.documents.get((key, source)) if source else None
        return document.sha256 if document else None

    def url(self, key: str, source: str) -> str | None:
        document = self.documents.get((key, source))
        return document.url if document else None

    def errors_of(self, keys: Iterable[str]) -> dict[str, str]:
        """The first error of each key, in words."""
        wanted, found = set(keys), dict[str, str]()
        for (key, _), error in self.errors.items():
            if key in wanted:
                found.setdefault(key, str(error))
        return found


def batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """Few enough at a time that their documents fit into memory."""
    return (keys[start : start + BATCH] for start in range(0, len(keys), BATCH))


def _odd(parsed: Any) -> tuple[DocumentError, ...]:
    """The parts of a document that could not be read, where its kind has such parts."""
    return tuple(getattr(parsed, "odd", ()))


def _parked(kind: str, key: str, source: str, document: Document, error: DocumentError, scope: str) -> Parked:
    return Parked(
        kind=kind,
        guard="unreadable",
        source=source,
        reason=str(error),
        scope=scope,
        key=key,
        field=error.field,
        document=document.sha256,
        url=document.url,
    )
