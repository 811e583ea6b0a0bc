"""A fourth dataset: toys, from a shop that lists them and a workshop that says what they are made of.

It is all that a dataset costs, and it stands in the tests alone: two sources, a list, a table and one of parts.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Engine, Text, delete, func, insert, literal_column, select, text, true
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from parlex.answers import Record as Answer
from parlex.datasets.dataset import Dataset
from parlex.datasets.record import Record
from parlex.datasets.served import Collection, Filter, Include, Searched, Served, Sort, Words, answers
from parlex.db.bulk import write_rows
from parlex.errors import DocumentError
from parlex.fetching.document import Document
from parlex.fetching.http import Client
from parlex.mirror.documents import Fetched, Held
from parlex.mirror.guards import Thresholds
from parlex.mirror.lists import Listed, Row
from parlex.resources import Resources
from parlex.runs.work import Asking, Request

SHOP, WORKSHOP = "shop", "workshop"
SHELF = "shelf"  # the scope: there is one list


class Base(DeclarativeBase):
    """Not the product's: the migrations know nothing of toys."""

    type_annotation_map = {str: Text, datetime: DateTime(timezone=True)}


class ToyRow(Base):
    __tablename__ = "toys"

    key: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    colour: Mapped[str | None]
    maker: Mapped[str | None]
    withdrawn: Mapped[bool] = mapped_column(server_default=text("false"))
    first_seen_at: Mapped[datetime]
    last_changed_at: Mapped[datetime]


class ToyWheelRow(Base):
    __tablename__ = "toy_wheels"

    key: Mapped[str] = mapped_column(primary_key=True)
    place: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int]


@dataclass(frozen=True)
class Toy:
    name: str
    colour: str | None


@dataclass(frozen=True)
class Making:
    maker: str | None
    wheels: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToyRecord(Answer):
    key: str
    name: str
    colour: str | None
    withdrawn: bool
    first_seen_at: datetime
    last_changed_at: datetime


@dataclass(frozen=True, slots=True)
class WheelRecord(Answer):
    place: str
    size: int


_NAME = (func.to_tsvector(literal_column("'simple'::regconfig"), func.parlex_words(ToyRow.name)), "simple")
SERVED = Served(
    one="toy",
    called=Words("toys", "jouets"),
    list=Collection(
        name="toys",
        help="The toys.",
        dataset="toys",
        record=ToyRecord,
        source=ToyRow.__table__,
        fields=answers(ToyRecord, ToyRow),
        sorts={"key": Sort((ToyRow.key,))},
        filters={"colour": Filter(help="the colour", where=lambda value: ToyRow.colour == value)},
    ),
    path="{key}",
    key=lambda parts: parts["key"],
    example={"key": "car"},
    identity=ToyRow.key.expression,
    detail={"maker": Include(column=ToyRow.maker, type=str | None, help="who made it")},
    below=(
        Collection(
            name="wheels",
            help="Its wheels.",
            dataset="toys",
            record=WheelRecord,
            source=ToyWheelRow.__table__,
            fields=answers(WheelRecord, ToyWheelRow),
            sorts={"place": Sort((ToyWheelRow.place,))},
            parent=lambda value: ToyWheelRow.key == value,
        ),
    ),
    searched=Searched(vectors={"en": _NAME, "fr": _NAME}, titles={"en": ToyRow.name}),
)


class ToyDataset(Dataset):
    name = "toys"
    one = "toy"
    source = f"{SHOP}+{WORKSHOP}"
    list_source = SHOP
    sources = (SHOP, WORKSHOP)
    decides = frozenset((SHOP,))
    field_sources = {"maker": WORKSHOP, "wheels": WORKSHOP}
    by_session = False
    list_guarded = ("name",)
    guarded = ("colour", "maker")
    served = SERVED
    table = ToyRow  # type: ignore[assignment]
    tables = (ToyRow, ToyWheelRow)  # type: ignore[assignment]
    searched = {"toys": ("name", "maker")}
    told_fields = {"colour": Words("New colour", "Nouvelle couleur")}

    def __init__(self, client: Client, address: str, thresholds: Thresholds) -> None:
        super().__init__(thresholds, {})
        self._client = client
        self._address = address

    def lists(self, request: Request, asking: Asking) -> Sequence[Fetched]:
        document = self._client.get(f"{self._address}/toys", tally=asking.tally, background=asking.background)
        return [Fetched(SHOP, "list", SHELF, document)]

    def read_list(self, source: str, found: Sequence[Fetched]) -> Listed:
        document = found[0].document
        rows = read(document, source)
        if not isinstance(rows, list):
            raise DocumentError("is no list", source=source, document=document.url)
        return Listed(tuple(Row(row["key"], {"name": row["name"], "mark": row["mark"]}) for row in rows))

    def ask(self, key: str, source: str, held: Held | None, asking: Asking) -> Document | None:
        url = f"{self._address}/{'toys' if source == SHOP else 'making'}/{key}"
        return self._client.get(url, tally=asking.tally, background=asking.background)

    def parse(self, key: str, source: str, document: Document) -> Any:
        found = read(document, source, key)
        try:
            if source == SHOP:
                return Toy(found["name"], found["colour"])
            return Making(found["maker"], {place: {"size": size} for place, size in found["wheels"].items()})
        except KeyError as error:
            raise DocumentError(
                "is missing", source=source, document=document.url, key=key, field=str(error.args[0])
            ) from None

    def record(self, key: str, parsed: Mapping[str, Any]) -> Record:
        toy, making = parsed[SHOP], parsed.get(WORKSHOP, Making(None, {}))
        facts = {"name": toy.name, "colour": toy.colour, "maker": making.maker}
        return Record(key, facts, {"wheels": making.wheels})

    def scope_of(self, key: str) -> str:
        return SHELF

    def identity(self, key: str) -> dict[str, Any]:
        return {"key": key}

    def in_scope(self, scope: str) -> Sequence[ColumnElement[bool]]:
        return (true(),)

    def held(self, db: Session, keys: Iterable[str]) -> dict[str, Record]:
        wanted = list(keys)
        rows = db.execute(select(ToyRow.__table__).where(ToyRow.key.in_(wanted)))
        names = ("name", "colour", "maker")
        held = {r.key: Record(r.key, {name: getattr(r, name) for name in names}, {"wheels": {}}) for r in rows}
        for row in db.execute(select(ToyWheelRow.__table__).where(ToyWheelRow.key.in_(wanted))):
            held[row.key].parts["wheels"][row.place] = {"size": row.size}
        return held

    def write_parts(self, db: Session, records: Sequence[Record], held: Mapping[str, Record]) -> None:
        db.execute(delete(ToyWheelRow).where(ToyWheelRow.key.in_([record.key for record in records])))
        rows = [{"key": r.key, "place": place, **wheel} for r in records for place, wheel in r.parts["wheels"].items()]
        if rows:
            write_rows(db, insert(ToyWheelRow), rows)

    def titles(self, db: Session, keys: Iterable[str], lang: str = "en") -> dict[str, str]:
        return dict(db.execute(select(ToyRow.key, ToyRow.name).where(ToyRow.key.in_(list(keys)))).all())


def read(document: Document, source: str, key: str | None = None) -> Any:
    try:
        return json.loads(document.body)
    except ValueError:
        raise DocumentError("is no JSON", source=source, document=document.url, key=key) from None


class Shop:
    """Both sites, as a dictionary of answers by path. A path that it lacks is a 404."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []

    def put(self, key: str, *, mark: int = 1, **changes: Any) -> None:
        """Sell a toy, or another version of one: a new ``mark`` makes its line look new."""
        usual = {"name": f"Toy {key}", "colour": "red", "maker": "Ada", "wheels": {"left": 3, "right": 3}}
        toy = usual | changes
        rows = [row for row in self.answers.get("/toys", []) if row["key"] != key]
        self.answers["/toys"] = sorted(
            [*rows, {"key": key, "name": toy["name"], "mark": mark}], key=lambda row: str(row["key"])
        )
        self.answers[f"/toys/{key}"] = {"name": toy["name"], "colour": toy["colour"]}
        self.answers[f"/making/{key}"] = {"maker": toy["maker"], "wheels": toy["wheels"]}

    def remove(self, key: str) -> None:
        self.answers["/toys"] = [row for row in self.answers["/toys"] if row["key"] != key]


@contextmanager
def shop() -> Iterator[Shop]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            open_shop.asked.append(self.path)
            answer = open_shop.answers.get(self.path)
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    open_shop = Shop(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield open_shop
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def builder(address: str) -> Any:
    """The line that names the dataset to the composition root."""
    return lambda of: ToyDataset(of.client, address, of.thresholds)


def make_tables(engine: Engine) -> None:
    """What its migration would do."""
    Base.metadata.create_all(engine)


def toys_of(mirror: Resources) -> Dataset:
    return mirror.datasets["toys"]
