"""One record as it is served: by its key, whole, as it was once, and with what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, select
from sqlalchemy.orm import Session

from parlex.answers import as_json
from parlex.datasets import provenance
from parlex.datasets.dataset import Dataset
from parlex.datasets.served import CHECKED, Served
from parlex.parliament import moment_of
from parlex.serving import queries
from parlex.serving.bodies import Body, json_body
from parlex.serving.problems import Problem

PREFIX = "/api/v1"


def path_of(served: Served, key: str) -> str:
    """Where the API has the record."""
    return f"{PREFIX}/{served.list.name}/{'/'.join(quote(part, safe='') for part in key.split(' '))}"


def key_of(served: Served, parts: Mapping[str, str]) -> str:
    """The key that the parts of a path make. Problem 404 for parts that make none."""
    try:
        return served.key(parts)
    except ValueError as error:
        raise Problem(404, str(error)) from None


def require_held(db: Connection, served: Served, key: str) -> None:
    """Problem 404 where the mirror holds no record of that key."""
    if db.execute(select(served.identity).where(served.identity == key)).first() is None:
        raise _not_held(key)


def _not_held(key: str) -> Problem:
    return Problem(404, f"the mirror does not hold {key}")


def whole(engine: Engine, dataset: Dataset, served: Served, key: str, include: tuple[str, ...]) -> Body:
    """A record as it stands, and when its sources were last asked for it. Problem 404 where there is none."""
    with engine.connect() as db:
        found = queries.record(db, served, key, dataset.decides, include)
    if found is None:
        raise _not_held(key)
    body, checked = found
    return Body(body.encode(), headers={"Parlex-Checked-At": as_json(checked)} if checked else {})


def past(engine: Engine, served: Served, key: str, moment: str) -> Body:
    """A record as it was known at a moment. Problem 404 where it was not yet."""
    assert served.past is not None
    with Session(engine) as db:
        require_held(db.connection(), served, key)
        found = served.past(db, key, moment_of(moment))
    if found is None:
        raise Problem(404, f"the mirror did not know {key} then", kind="not-known-yet")
    return json_body({name: value for name, value in found.as_json().items() if name != CHECKED})


def origins(dataset: Dataset) -> Any:
    """What reads the source, document and time of each field of a record, as a list."""

    def read(db: Session, key: str) -> Any:
        return {"data": tuple(provenance.provenance(db, dataset, key)), "next": None}

    return read


def told(engine: Engine, served: Served, key: str, read: Any) -> Body:
    """What a function tells of one record, given a session and the key. Problem 404 where the record is not held."""
    with Session(engine) as db:
        require_held(db.connection(), served, key)
        return json_body(as_json(read(db, key)))
