"""The addresses of the pages in both languages, which never change."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from parlex.datasets.dataset import Dataset
from parlex.datasets.served import Words

# Behind the language; a name in braces is one part of an address.
PATHS = {
    "front": Words("", ""),
    "session": Words("sessions/{session}", "sessions/{session}"),
    "changes": Words("changes", "changements"),
    "search": Words("search", "recherche"),
    "follow": Words("follow", "suivre"),
    "data": Words("data", "donnees"),
    "mirror": Words("mirror", "miroir"),
    "survey": Words("mirror/disagreements/{session}", "miroir/desaccords/{session}"),
}
# Where the records of a dataset are; one that is not here is called alike in both languages.
LISTS = {
    "bills": Words("bills", "projets-de-loi"),
    "votes": Words("votes", "votes"),
    "politicians": Words("members", "deputes"),
}
BELOW = {"history": Words("history", "historique"), "sources": Words("sources", "sources")}


def list_path(lang: str, dataset: Dataset) -> str:
    """The address of a dataset's list, without its scope."""
    return f"/{lang}/{getattr(LISTS.get(dataset.name, Words(dataset.name, dataset.name)), lang)}"


def record_path(lang: str, dataset: Dataset, key: str, below: str | None = None) -> str:
    """The address of a record's page, or of what is below it."""
    parts = [quote(part, safe="") for part in key.split(" ")]
    return "/".join([list_path(lang, dataset), *parts, *([getattr(BELOW[below], lang)] if below else [])])


def pattern(lang: str, name: str) -> str:
    """The route of a page, below its language."""
    return f"/{getattr(PATHS[name], lang)}"


def path(lang: str, name: str, **parts: str) -> str:
    filled = getattr(PATHS[name], lang).format(**{part: quote(value, safe="") for part, value in parts.items()})
    return f"/{lang}/{filled}"


def query_of(asked: Mapping[str, object], **changes: object) -> str:
    """What was asked, as an address has it, with changes; None takes a parameter away."""
    return urlencode({name: value for name, value in {**asked, **changes}.items() if value is not None}, doseq=True)
