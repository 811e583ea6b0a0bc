"""What the newest export has, for who wants all of it at once and then ``/changes`` from there on."""

from __future__ import annotations

from parlex.errors import Retryable
from parlex.serving.bodies import Body
from parlex.serving.problems import Problem, away
from parlex.settings import Settings

_HOW = "its operator makes one with parlex export, and each night where PARLEX_EXPORT_URL is set"


def manifest(settings: Settings) -> Body:
    """The manifest, as the export has it. Problem 404 where none was made, 503 where its place does not answer."""
    from parlex.mirror import export  # with its library of buckets, five megabytes, for who asks

    try:
        place = settings.export_url
        found = export.read_manifest(place.get_secret_value()) if place else None
    except (Retryable, OSError):
        raise away("the place of the exports does not answer") from None
    if found is None:
        raise Problem(404, f"this mirror has no export: {_HOW}")
    return Body(found)
