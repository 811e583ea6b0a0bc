"""The tables. PostgreSQL only.

``bills``, ``politicians``, ``votes`` and their parts belong to a dataset each. All others serve every dataset: they
know a thing by (dataset, key), where the key is text as ``45-1 C-2`` and the scope of a list is text as ``45-1``.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        str: Text,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        list[str]: ARRAY(Text),
        bytes: LargeBinary,
    }


def _key(number: str = "number") -> Any:
    """The key as text, ``45-1 C-2``, which PostgreSQL makes of its three parts."""
    return mapped_column(Computed(f"parliament::text || '-' || session::text || ' ' || {number}", persisted=True))


_NUMBER_IN_ORDER = ('"left"(number, 1)', r"""(("substring"(number, '\d+'))::integer)""")


class BillRow(Base):
    """One bill as the sources say now. When it was last looked at stands in ``latest_documents``, not here."""

    __tablename__ = "bills"

    parliament: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    session: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
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
    sponsor_person_id: Mapped[int | None] = mapped_column(BigInteger)
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
    statute_year: Mapped[int | None] = mapped_column(SmallInteger)
    statute_chapter: Mapped[int | None] = mapped_column(SmallInteger)
    reinstated_from: Mapped[str | None]
    reinstated_as: Mapped[str | None]
    legisinfo_id: Mapped[int | None] = mapped_column(BigInteger)
    text_url: Mapped[str | None]
    summary_en: Mapped[str | None]
    summary_fr: Mapped[str | None]
    # Null also where the documents were not read again yet since these are kept.
    bill_type_fr: Mapped[str | None]
    form: Mapped[str | None]
    form_en: Mapped[str | None]
    form_fr: Mapped[str | None]
    ongoing_stage: Mapped[str | None]
    ongoing_stage_en: Mapped[str | None]
    ongoing_stage_fr: Mapped[str | None]
    last_event_on: Mapped[date | None]
    last_event_en: Mapped[str | None]
    last_event_fr: Mapped[str | None]
    sponsor_title_en: Mapped[str | None]
    sponsor_title_fr: Mapped[str | None]
    sponsor_riding_en: Mapped[str | None]
    sponsor_riding_fr: Mapped[str | None]
    is_in_pre_study: Mapped[bool | None]
    pre_study_committee: Mapped[str | None]
    is_dropped: Mapped[bool | None]  # from the Senate's order paper
    was_debated_last: Mapped[bool | None]  # considered at the last sitting before it was looked at
    notes_en: Mapped[str | None]
    notes_fr: Mapped[str | None]
    flags: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    withdrawn: Mapped[bool] = mapped_column(server_default=text("false"))
    first_seen_at: Mapped[datetime]
    last_changed_at: Mapped[datetime]
    key: Mapped[str] = _key()

    __table_args__ = (
        Index(None, "key", unique=True),
        CheckConstraint("chamber in ('house', 'senate')", name="chamber"),
        Index(None, "legisinfo_id"),
        Index(None, "sponsor_person_id"),
        Index(None, "status_code"),
        # The order of a list: the letter, then the digits as a number.
        Index("ix_bills_in_order", "parliament", "session", *map(text, _NUMBER_IN_ORDER), "number"),
    )


class BillStageRow(Base):
    """The stages of a bill in the order the source gives them; a chamber may go through one twice."""

    __tablename__ = "bill_stages"

    parliament: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    session: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    chamber: Mapped[str | None]
    stage: Mapped[str]
    state: Mapped[str]
    completed_on: Mapped[date | None]
    committee: Mapped[str | None]
    sittings: Mapped[int] = mapped_column(SmallInteger)
    key: Mapped[str] = _key()

    __table_args__ = (
        Index(None, "key"),
        ForeignKeyConstraint(
            ["parliament", "session", "number"],
            ["bills.parliament", "bills.session", "bills.number"],
            ondelete="CASCADE",
        ),
    )


class _OfBill:
    """A row that belongs to a bill; ``entry`` is the name by which the history knows it."""

    parliament: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    session: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    entry: Mapped[str] = mapped_column(primary_key=True)


def _of_bill() -> ForeignKeyConstraint:
    there = ["bills.parliament", "bills.session", "bills.number"]
    return ForeignKeyConstraint(["parliament", "session", "number"], there, ondelete="CASCADE")


class BillEventRow(_OfBill, Base):
    """What happened to a bill, one row a thing: see :mod:`parlex.datasets.bills.events`."""

    __tablename__ = "bill_events"

    kind: Mapped[str]
    chamber: Mapped[str]
    stage: Mapped[str | None]
    day: Mapped[date]
    sitting_number: Mapped[str | None]
    name_en: Mapped[str | None]
    name_fr: Mapped[str | None]
    type_id: Mapped[int | None] = mapped_column(BigInteger)
    committee: Mapped[str | None]
    meeting_number: Mapped[str | None]
    report_number: Mapped[int | None] = mapped_column(BigInteger)
    division_number: Mapped[int | None] = mapped_column(BigInteger)
    result_en: Mapped[str | None]
    result_fr: Mapped[str | None]
    method_en: Mapped[str | None]
    method_fr: Mapped[str | None]
    note_en: Mapped[str | None]
    note_fr: Mapped[str | None]
    url_en: Mapped[str | None]
    url_fr: Mapped[str | None]
    key: Mapped[str] = _key()

    __table_args__ = (
        Index(None, "key"),
        Index(None, "chamber", "day"),
        CheckConstraint("kind in ('sitting', 'event', 'decision', 'meeting', 'message', 'ruling')", name="kind"),
        CheckConstraint("chamber in ('house', 'senate')", name="chamber"),
        _of_bill(),
    )


class BillPublicationRow(_OfBill, Base):
    """The printed versions of a bill."""

    __tablename__ = "bill_publications"

    version: Mapped[str]
    publication_id: Mapped[int] = mapped_column(BigInteger)
    name_en: Mapped[str | None]
    name_fr: Mapped[str | None]
    xml_url_en: Mapped[str | None]
    xml_url_fr: Mapped[str | None]
    pdf_url: Mapped[str | None]
    viewer_url: Mapped[str]
    key: Mapped[str] = _key()

    __table_args__ = (Index(None, "key"), _of_bill())


class BillLinkRow(_OfBill, Base):
    """The web references of a bill."""

    __tablename__ = "bill_links"

    kind: Mapped[str | None]
    kind_fr: Mapped[str | None]
    title_en: Mapped[str | None]
    title_fr: Mapped[str | None]
    url_en: Mapped[str | None]
    url_fr: Mapped[str | None]
    key: Mapped[str] = _key()

    __table_args__ = (Index(None, "key"), _of_bill())


class SimilarBillRow(_OfBill, Base):
    """The bills that LEGISinfo calls similar to a bill; most are of other sessions, and may not be held."""

    __tablename__ = "similar_bills"

    similar_key: Mapped[str]
    key: Mapped[str] = _key()

    __table_args__ = (Index(None, "key"), Index(None, "similar_key"), _of_bill())


class SittingRow(Base):
    """The days on which a chamber sat: a view, of what the bills and the divisions say; no table of ours, so that
    nobody makes one of it.

    ``number`` is null where only a division or the end of a stage tells that the chamber sat. ``source``: whose word it
    is.
    """

    metadata = MetaData()
    __tablename__ = "sittings"

    parliament: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    session: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    chamber: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    number: Mapped[str | None] = mapped_column(primary_key=True, nullable=True)
    source: Mapped[str]


class ChangeRow(Base):
    """The history of every dataset, append-only. ``seq`` has no gap and follows the order of commits: see
    ``history.next_seq``.

    The views ``bill_changes`` and ``record_changes`` show its lines as two tables did before.
    """

    __tablename__ = "changes"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    dataset: Mapped[str]
    key: Mapped[str]
    kind: Mapped[str]
    field: Mapped[str | None]
    old: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    new: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    observed_at: Mapped[datetime]
    run_id: Mapped[UUID | None]
    source: Mapped[str | None]
    document: Mapped[str | None]  # sha256

    __table_args__ = (
        CheckConstraint("kind in ('created', 'changed', 'withdrawn', 'reappeared', 'reparsed')", name="kind"),
        Index(None, "dataset", "key", "seq"),
        Index("ix_changes_session", text("split_part(key, ' ', 1)"), "seq"),
        Index(None, "observed_at"),
        Index(None, "run_id"),
    )


def _view(name: str, *identity: Column[Any]) -> Table:
    """One of the views on ``changes``; no table of ours, so that nobody makes one of it."""
    rest = [Column(column.name, column.type) for column in ChangeRow.__table__.columns if column.name not in _IDENTITY]
    return Table(name, MetaData(), Column("seq", BigInteger, primary_key=True), *identity, *rest)


_IDENTITY = ("seq", "dataset", "key")
VIEWS = (
    _view(
        "bill_changes",
        Column("parliament", SmallInteger, nullable=False),
        Column("session", SmallInteger, nullable=False),
        Column("number", Text, nullable=False),
    ),
    _view("record_changes", Column("dataset", Text, nullable=False), Column("key", Text, nullable=False)),
)


class PoliticianRow(Base):
    """A politician as the sources say now. What is current is that of the membership that lasts."""

    __tablename__ = "politicians"

    slug: Mapped[str] = mapped_column(primary_key=True)
    origin: Mapped[str]  # the source that the row is from
    name: Mapped[str]
    given_name: Mapped[str | None]
    family_name: Mapped[str | None]
    gender: Mapped[str | None]
    person_id: Mapped[int | None] = mapped_column(BigInteger)
    email: Mapped[str | None]
    phone: Mapped[str | None]
    fax: Mapped[str | None]
    offices: Mapped[str | None]
    image_url: Mapped[str | None]
    links: Mapped[list[Any]] = mapped_column(JSONB, server_default=text("'[]'"))
    is_current: Mapped[bool | None]  # sits in the House today; null: the source does not say
    current_party: Mapped[str | None]
    current_riding: Mapped[str | None]
    province: Mapped[str | None]
    withdrawn: Mapped[bool] = mapped_column(server_default=text("false"))
    first_seen_at: Mapped[datetime]
    last_changed_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("origin in ('openparliament', 'legisinfo')", name="origin"),
        Index(None, "person_id"),
    )


class PoliticianMembershipRow(Base):
    """A member's time under one party and for one riding; ``id`` is the site's own number."""

    __tablename__ = "politician_memberships"

    slug: Mapped[str] = mapped_column(ForeignKey("politicians.slug", ondelete="CASCADE"), primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    party: Mapped[str | None]
    party_name: Mapped[str | None]
    riding: Mapped[str | None]
    province: Mapped[str | None]
    label: Mapped[str | None]
    start_on: Mapped[date]
    end_on: Mapped[date | None]


class VoteRow(Base):
    """A division of the House. ``totals_match``: its ballots add up to its totals; where not, both stand as given."""

    __tablename__ = "votes"

    parliament: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    session: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    held_on: Mapped[date]
    description_en: Mapped[str | None]
    description_fr: Mapped[str | None]
    context_statement: Mapped[str | None]
    result: Mapped[str]
    yea_total: Mapped[int] = mapped_column(SmallInteger)
    nay_total: Mapped[int] = mapped_column(SmallInteger)
    paired_total: Mapped[int] = mapped_column(SmallInteger)
    bill_parliament: Mapped[int | None] = mapped_column(SmallInteger)
    bill_session: Mapped[int | None] = mapped_column(SmallInteger)
    bill_number: Mapped[str | None]
    totals_match: Mapped[bool]
    withdrawn: Mapped[bool] = mapped_column(server_default=text("false"))
    first_seen_at: Mapped[datetime]
    last_changed_at: Mapped[datetime]
    key: Mapped[str] = _key("number::text")

    __table_args__ = (
        Index(None, "key", unique=True),
        Index(None, "bill_parliament", "bill_session", "bill_number"),
    )


class VotePartyRow(Base):
    """How a party voted in a division, as the source says; ``disagreement`` is a share from 0 to 1."""

    __tablename__ = "vote_parties"

    parliament: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    session: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    party: Mapped[str] = mapped_column(primary_key=True)
    party_name: Mapped[str | None]
    position: Mapped[str]
    disagreement: Mapped[float]
    key: Mapped[str] = _key("number::text")

    __table_args__ = (Index(None, "key"),)


class BallotRow(Base):
    """One member's ballot. No foreign keys: a politician may be fetched after the ballot, and there are millions."""

    __tablename__ = "ballots"

    parliament: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    session: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(primary_key=True)
    membership_id: Mapped[int | None] = mapped_column(BigInteger)
    choice: Mapped[str]

    __table_args__ = (Index(None, "slug"),)


class CounterRow(Base):
    """Counters whose row lock, held until commit, makes numbers gap-free and ordered as commits are."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class ListingRow(Base):
    """A key's line in a source's list. ``fetched_fingerprint`` is what it was when its details were last saved."""

    __tablename__ = "listings"

    dataset: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    fetched_fingerprint: Mapped[str | None]
    activity_on: Mapped[date | None]
    facts: Mapped[dict[str, Any]]
    first_seen_at: Mapped[datetime]
    seen_at: Mapped[datetime]  # when this fingerprint was first seen; the sweeps tell when it was last seen
    gone_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]  # last failure since the last success
    failed_fingerprint: Mapped[str | None]


class SweepRow(Base):
    """One look at a source's whole list of one scope: what it listed against what the mirror holds."""

    __tablename__ = "sweeps"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    run_id: Mapped[UUID]
    dataset: Mapped[str]
    source: Mapped[str]
    scope: Mapped[str]
    swept_at: Mapped[datetime]
    document: Mapped[str | None]
    believed: Mapped[bool]
    reason: Mapped[str | None]  # why it was not believed, or is to be asked for again soon
    is_current: Mapped[bool]  # the list without a session parameter: its scope is the current session
    listed: Mapped[int]
    held: Mapped[int]
    missing: Mapped[list[str]]
    extra: Mapped[list[str]]
    doubled: Mapped[list[str]]
    quarantined: Mapped[list[str]]
    fill_rates: Mapped[dict[str, Any]]

    __table_args__ = (Index(None, "dataset", "source", "scope", "swept_at"),)


class DocumentRow(Base):
    """A body, once, by its sha256. ``body`` is null once it lives in the archive only."""

    __tablename__ = "documents"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    body: Mapped[bytes | None]  # zlib
    size: Mapped[int] = mapped_column(BigInteger)  # bytes before compression
    stored_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]


class DocumentFetchRow(Base):
    """Each time a document was fetched."""

    __tablename__ = "document_fetches"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    run_id: Mapped[UUID | None]
    dataset: Mapped[str]
    source: Mapped[str]
    kind: Mapped[str]  # list or detail
    key: Mapped[str]  # the scope for a list
    url: Mapped[str]
    status: Mapped[int] = mapped_column(SmallInteger)
    fetched_at: Mapped[datetime]
    sha256: Mapped[str] = mapped_column(ForeignKey("documents.sha256"))
    etag: Mapped[str | None]
    last_modified: Mapped[str | None]

    __table_args__ = (
        Index(None, "dataset", "key", "source", "fetched_at"),
        Index(None, "sha256"),
        Index(None, "run_id"),
    )


class LatestDocumentRow(Base):
    """The newest word of a source on a key: which document stands, and when we last asked."""

    __tablename__ = "latest_documents"

    dataset: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    checked_at: Mapped[datetime]  # last answer, be it a document or a 404
    sha256: Mapped[str | None]  # the good document that the row was made from; null: none yet
    reading: Mapped[int] = mapped_column(
        SmallInteger, server_default=text("1")
    )  # the row was made by: see Kind.reading
    url: Mapped[str | None]
    fetched_at: Mapped[datetime | None]  # when it brought that document
    failed_at: Mapped[datetime | None]  # last failure to answer since the last answer
    etag: Mapped[str | None]
    last_modified: Mapped[str | None]

    __table_args__ = (Index(None, "dataset", "checked_at"),)


# An abandoned run gives its slot back, so that the slot can be run again.
_SLOT_TAKEN = text("slot is not null and status <> 'abandoned'")


class RunRow(Base):
    """``fetch_logs``: one row a run. The record of what should run, what ran and how it ended."""

    __tablename__ = "fetch_logs"

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    dataset: Mapped[str]
    source: Mapped[str]
    job: Mapped[str]
    entry: Mapped[str | None]  # name of the schedule entry
    slot: Mapped[datetime | None]  # the instant its tick stands for; null by hand
    missed_slots: Mapped[int] = mapped_column(server_default=text("0"))  # earlier slots that this run stands in for
    scope: Mapped[str | None]  # session; known after planning where the caller named none
    params: Mapped[dict[str, Any]]
    status: Mapped[str]
    planned: Mapped[bool] = mapped_column(server_default=text("false"))  # its keys are rows
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))  # of planning
    next_attempt_at: Mapped[datetime | None]  # of planning
    lease_until: Mapped[datetime | None]  # of planning
    carrier: Mapped[str]  # worker, or process: a run without workers dies with its process
    progress_at: Mapped[datetime]
    listed: Mapped[int] = mapped_column(server_default=text("0"))
    not_due: Mapped[int] = mapped_column(server_default=text("0"))
    attempted: Mapped[int] = mapped_column(server_default=text("0"))
    succeeded: Mapped[int] = mapped_column(server_default=text("0"))
    failed: Mapped[int] = mapped_column(server_default=text("0"))
    created: Mapped[int] = mapped_column(server_default=text("0"))
    updated: Mapped[int] = mapped_column(server_default=text("0"))
    unchanged: Mapped[int] = mapped_column(server_default=text("0"))
    deferred: Mapped[int] = mapped_column(server_default=text("0"))
    requests: Mapped[int] = mapped_column(server_default=text("0"))
    bytes: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    error_count: Mapped[int] = mapped_column(server_default=text("0"))
    errors: Mapped[list[Any]] = mapped_column(JSONB, server_default=text("'[]'"))  # the first ones
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    duration_seconds: Mapped[float | None]
    waiters: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))  # task ids that wait for the figures
    delivered_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]  # by a person; null unless it is paused now
    paused_for: Mapped[timedelta] = mapped_column(server_default=text("interval '0'"))  # by the pauses that are over
    counted_since: Mapped[datetime | None]  # when it was planned, later by as long as it was paused since: for its rate

    __table_args__ = (
        CheckConstraint(
            "status in ('running', 'success', 'partial', 'failure', 'skipped', 'abandoned', 'revoked', 'refused')",
            name="status",
        ),
        Index("uq_fetch_logs_entry_slot", "entry", "slot", unique=True, postgresql_where=_SLOT_TAKEN),
        Index(None, "started_at"),
        Index("ix_fetch_logs_open", "status", postgresql_where=text("status = 'running'")),
    )


class RunKeyRow(Base):
    """One key of one run, from plan to outcome."""

    __tablename__ = "run_keys"

    run_id: Mapped[UUID] = mapped_column(ForeignKey("fetch_logs.run_id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    wants: Mapped[list[str]]  # sources still to be asked
    fingerprint: Mapped[str | None]  # of its listing when the run was planned
    state: Mapped[str] = mapped_column(server_default=text("'waiting'"))
    outcome: Mapped[str | None]
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))  # of fetching
    claims: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))  # by workers, also by those that died
    next_attempt_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]
    error: Mapped[str | None]

    __table_args__ = (
        CheckConstraint("state in ('waiting', 'fetching', 'fetched', 'persisting', 'done', 'failed')", name="state"),
        Index(
            "ix_run_keys_open", "run_id", "state", "position", postgresql_where=text("state not in ('done', 'failed')")
        ),
    )


class QuarantineRow(Base):
    """What was not believed: a document or a part of one, a row of a list, a whole sweep, or one field of a key."""

    __tablename__ = "quarantine"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    dataset: Mapped[str]
    scope: Mapped[str | None]
    key: Mapped[str | None]
    kind: Mapped[str]  # document, part, row, sweep, field
    guard: Mapped[str]
    source: Mapped[str]
    field: Mapped[str | None]
    reason: Mapped[str]
    held: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    offered: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    document: Mapped[str | None]  # sha256
    url: Mapped[str | None]
    run_id: Mapped[UUID | None]
    state: Mapped[str] = mapped_column(server_default=text("'open'"))
    opened_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    seen_count: Mapped[int] = mapped_column(server_default=text("1"))
    decided_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("kind in ('document', 'part', 'row', 'sweep', 'field')", name="kind"),
        CheckConstraint("state in ('pending', 'open', 'approved', 'rejected', 'resolved')", name="state"),
        Index(None, "dataset", "scope", "key"),
        Index("ix_quarantine_open", "dataset", "state", postgresql_where=text("state = 'open'")),
        Index("ix_quarantine_pending", "dataset", postgresql_where=text("state = 'pending'")),
    )


class HeartbeatRow(Base):
    """Who was last alive: beat, seen through a worker to here."""

    __tablename__ = "heartbeats"

    name: Mapped[str] = mapped_column(primary_key=True)
    seen_at: Mapped[datetime]


class AlertRow(Base):
    """Something that is wrong, as one of rules.py finds it, from when it was first seen to the all-clear."""

    __tablename__ = "alerts"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    rule: Mapped[str]
    subject: Mapped[str]  # what it is about: a job, a queue, a host
    severity: Mapped[str]
    headline: Mapped[str]
    detail: Mapped[str]
    level: Mapped[int]  # how much of it there is, where that can be counted
    since: Mapped[datetime]  # first seen
    opened_at: Mapped[datetime | None]  # null: seen, but not for long enough yet
    seen_at: Mapped[datetime]
    quiet_since: Mapped[datetime | None]  # no longer seen since
    told_at: Mapped[datetime | None]
    told_level: Mapped[int | None]
    closed_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("severity in ('warning', 'failure')", name="severity"),
        Index("uq_alerts_open", "rule", "subject", unique=True, postgresql_where=text("closed_at is null")),
    )


class NotificationRow(Base):
    """A message to one address, kept until it is delivered, and then for the record."""

    __tablename__ = "notifications"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    occasion: Mapped[str]  # the same occasion is told to an address once
    target: Mapped[str]  # the address by its scheme and a digest, since the address itself is a secret
    severity: Mapped[str]
    title: Mapped[str]
    body: Mapped[str]
    created_at: Mapped[datetime]
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]
    error: Mapped[str | None]  # of the last attempt

    __table_args__ = (
        CheckConstraint("severity in ('info', 'success', 'warning', 'failure')", name="severity"),
        Index("uq_notifications_occasion_target", "occasion", "target", unique=True),
        Index(
            "ix_notifications_waiting",
            "next_attempt_at",
            postgresql_where=text("delivered_at is null and given_up_at is null"),
        ),
    )


class MirrorRow(Base):
    """The one row that says which mirror this database holds. A copy of the database is the same mirror; a restored
    one is in another ``epoch``, since the numbers of its history begin again where the backup ended."""

    __tablename__ = "mirror"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    made_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    single: Mapped[bool] = mapped_column(unique=True, server_default=text("true"))
    epoch: Mapped[UUID] = mapped_column(server_default=text("gen_random_uuid()"))

    __table_args__ = (CheckConstraint("single", name="single"),)


class ScheduleEntryRow(Base):
    """An entry of the schedule that a person paused or moved. The others are as celeryconfig.py says."""

    __tablename__ = "schedule_entries"

    name: Mapped[str] = mapped_column(primary_key=True)
    paused_at: Mapped[datetime | None]
    cron: Mapped[str | None]  # its own time; null: the usual one
    changed_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


class ApiKeyRow(Base):
    """A key of the API. Of its secret only the SHA-256 is kept; the whole key was printed once."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    secret_sha256: Mapped[bytes]
    made_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    revoked_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("role in ('reader', 'subscriber', 'operator')", name="role"),
        CheckConstraint("octet_length(secret_sha256) = 32", name="secret"),
    )
