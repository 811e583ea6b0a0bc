"""The same bills from the same PostgreSQL, as FastAPI's and SQLAlchemy's tutorials teach: mapped classes, a session a
request, synchronous endpoints, stages loaded with their bill, response models. Imports nothing of Parlex.

``python fastapi_orm.py PORT``; DATABASE_URL as SQLAlchemy spells it. ``/bare`` is the least that a 304 can cost in this
framework: it compares one header.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ForeignKeyConstraint, Integer, String, cast, create_engine, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload, undefer_group

TAG = 'W/"1"'

# A session may outlive its answer by a moment: more connections than requests at a time, so that none is opened anew.
engine = create_engine(os.environ["DATABASE_URL"], pool_size=20)


class Base(DeclarativeBase):
    pass


class Bill(Base):
    __tablename__ = "bills"

    parliament: Mapped[int] = mapped_column(primary_key=True)
    session: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    title_en: Mapped[str]
    title_fr: Mapped[str]
    short_title_en: Mapped[str | None]
    short_title_fr: Mapped[str | None]
    status_code: Mapped[str]
    status_en: Mapped[str]
    status_fr: Mapped[str]
    bill_type: Mapped[str]
    chamber: Mapped[str]
    is_government: Mapped[bool]
    is_pro_forma: Mapped[bool]
    sponsor_person_id: Mapped[int | None]
    sponsor_name: Mapped[str | None]
    sponsor_slug: Mapped[str | None]
    introduced_on: Mapped[date | None]
    house_first_reading_on: Mapped[date | None]
    house_second_reading_on: Mapped[date | None]
    house_third_reading_on: Mapped[date | None]
    senate_first_reading_on: Mapped[date | None]
    senate_second_reading_on: Mapped[date | None]
    senate_third_reading_on: Mapped[date | None]
    royal_assent_on: Mapped[date | None]
    statute_year: Mapped[int | None]
    statute_chapter: Mapped[int | None]
    reinstated_from: Mapped[str | None]
    reinstated_as: Mapped[str | None]
    legisinfo_id: Mapped[int | None]
    withdrawn: Mapped[bool]
    first_seen_at: Mapped[datetime]
    last_changed_at: Mapped[datetime]
    # Long, and not of a list.
    text_url: Mapped[str | None] = mapped_column(deferred=True, deferred_group="whole")
    summary_en: Mapped[str | None] = mapped_column(deferred=True, deferred_group="whole")
    summary_fr: Mapped[str | None] = mapped_column(deferred=True, deferred_group="whole")
    flags: Mapped[list[str]] = mapped_column(ARRAY(String), deferred=True, deferred_group="whole")

    stages: Mapped[list[Stage]] = relationship(order_by="Stage.position")


class Stage(Base):
    __tablename__ = "bill_stages"

    parliament: Mapped[int] = mapped_column(primary_key=True)
    session: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    chamber: Mapped[str | None]
    stage: Mapped[str]
    state: Mapped[str]
    completed_on: Mapped[date | None]
    committee: Mapped[str | None]
    sittings: Mapped[int]

    __table_args__ = (
        ForeignKeyConstraint(
            ["parliament", "session", "number"], ["bills.parliament", "bills.session", "bills.number"]
        ),
    )


class StagePublic(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    chamber: str | None
    stage: str
    state: str
    completed_on: date | None
    committee: str | None
    sittings: int


class BillPublic(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    parliament: int
    session: int
    number: str
    title_en: str
    title_fr: str
    short_title_en: str | None
    short_title_fr: str | None
    status_code: str
    status_en: str
    status_fr: str
    bill_type: str
    chamber: str
    is_government: bool
    is_pro_forma: bool
    sponsor_person_id: int | None
    sponsor_name: str | None
    sponsor_slug: str | None
    introduced_on: date | None
    house_first_reading_on: date | None
    house_second_reading_on: date | None
    house_third_reading_on: date | None
    senate_first_reading_on: date | None
    senate_second_reading_on: date | None
    senate_third_reading_on: date | None
    royal_assent_on: date | None
    statute_year: int | None
    statute_chapter: int | None
    reinstated_from: str | None
    reinstated_as: str | None
    legisinfo_id: int | None
    withdrawn: bool
    first_seen_at: datetime
    last_changed_at: datetime


class BillWithStages(BillPublic):
    text_url: str | None
    summary_en: str | None
    summary_fr: str | None
    flags: list[str]
    stages: list[StagePublic]


class BillPage(BaseModel):
    data: list[BillPublic]
    next: str | None


def get_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]
SessionName = Annotated[str, Query(pattern=r"^\d+-\d+$")]

app = FastAPI()


@app.get("/bills", response_model=BillPage)
def read_bills(
    request: Request,
    db: SessionDep,
    session: SessionName,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Any:
    parliament, number = map(int, session.split("-"))
    statement = (
        select(Bill)
        .where(Bill.parliament == parliament, Bill.session == number)
        .order_by(func.left(Bill.number, 1), cast(func.substring(Bill.number, r"\d+"), Integer), Bill.number)
        .offset(offset)
        .limit(limit + 1)
    )
    found = db.scalars(statement).all()
    more = len(found) > limit
    return {
        "data": found[:limit],
        "next": str(request.url.include_query_params(offset=offset + limit)) if more else None,
    }


@app.get("/bills/{session}/{number}", response_model=BillWithStages)
def read_bill(db: SessionDep, session: str, number: str) -> Any:
    parliament, ordinal = map(int, session.split("-"))
    whole = (selectinload(Bill.stages), undefer_group("whole"))
    bill = db.get(Bill, (parliament, ordinal, number), options=whole)
    if bill is None:
        raise HTTPException(404, "Bill not found")
    return bill


@app.get("/bare")
async def bare(request: Request) -> Response:
    if request.headers.get("If-None-Match") == TAG:
        return Response(status_code=304, headers={"ETag": TAG})
    return Response(b"{}", headers={"ETag": TAG}, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
