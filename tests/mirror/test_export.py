"""Exports: four formats of one moment, to a folder and to a real S3 server on loopback."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import obstore
import pytest
from obstore.store import S3Store
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from parlex.db import migrate
from parlex.db.models import (
    Base,
    BillEventRow,
    BillStageRow,
    PoliticianMembershipRow,
    PoliticianRow,
    SimilarBillRow,
)
from parlex.errors import ConfigurationError, Retryable, UsageError
from parlex.mirror import export
from parlex.resources import Resources
from tests import rows

KEY = {"parliament": 45, "session": 1, "number": "C-2"}


@pytest.fixture
def resources(make_resources: Callable[..., Resources], db: Session) -> Resources:
    """A small mirror with every kind of value."""
    stage = {"chamber": "house", "stage": "committee", "state": "completed", "sittings": 2}
    politician = PoliticianRow(
        slug="a-b", origin="openparliament", name="A B", first_seen_at=rows.NOON, last_changed_at=rows.NOON
    )
    db.add_all(
        [
            rows.bill(
                "C-2",
                title_fr='Loi « élargie », "dite" de\n2026',
                introduced_on=date(2026, 6, 3),
                legisinfo_id=13_500_000_000,
                flags=["a", "b"],
                is_government=False,
                last_changed_at=datetime(2026, 6, 10, 12, 0, 0, 123_456, tzinfo=UTC),
            ),
            rows.bill("S-1", summary_en="It protects whales."),
            politician,
            rows.change(1, kind="created", field=None, run_id=rows.run().run_id),
            rows.change(2, field="statute_year", old=None, new=6),
            rows.change(3, field="title_en", old="6", new="An Act"),
            rows.change(4, field="stages.house.committee", old=None, new={"state": "completed", "sittings": 2}),
        ]
    )
    db.flush()
    db.add(BillStageRow(**KEY, position=0, completed_on=date(2026, 6, 9), committee=None, **stage))
    sitting = {"entry": "a", "kind": "sitting", "chamber": "house", "stage": "committee", "day": date(2026, 6, 9)}
    db.add(BillEventRow(**KEY, sitting_number="129", **sitting))
    db.add(SimilarBillRow(**KEY, entry="44-1 C-9", similar_key="44-1 C-9"))
    db.add(PoliticianMembershipRow(slug="a-b", id=7, start_on=date(2025, 4, 28)))
    db.commit()
    return make_resources()


def manifest_of(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / export.MANIFEST).read_text())
    return loaded


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_manifest_tells_what_each_file_is(resources: Resources, tmp_path: Path) -> None:
    export.export(resources.engine, resources.datasets.values(), str(tmp_path / "out"))
    found = manifest_of(tmp_path / "out")
    assert (found["format"], found["schema"], found["as_of_seq"]) == (1, migrate.head(), 4)
    assert {file["name"] for file in found["files"]} | {export.MANIFEST} == {
        path.name for path in (tmp_path / "out").iterdir()
    }
    assert {(file["format"], file["table"]): file["rows"] for file in found["files"] if file["table"] == "bills"} == {
        ("parquet", "bills"): 2,
        ("csv", "bills"): 2,
        ("jsonl", "bills"): 2,
    }
    named_at = {path.name: path.stat().st_ctime_ns for path in (tmp_path / "out").iterdir()}
    # Files named within one tick of the kernel's clock share their time: none may be newer than the manifest.
    assert named_at[export.MANIFEST] == max(named_at.values())
    for file in found["files"]:
        body = (tmp_path / "out" / file["name"]).read_bytes()
        assert (len(body), hashlib.sha256(body).hexdigest()) == (file["bytes"], file["sha256"])


def test_json_lines_keep_every_value(resources: Resources, tmp_path: Path) -> None:
    export.export(resources.engine, resources.datasets.values(), str(tmp_path), ["jsonl"])
    bill, _ = lines(tmp_path / "bills.jsonl")
    assert bill["title_fr"] == 'Loi « élargie », "dite" de\n2026'
    assert (bill["introduced_on"], bill["legisinfo_id"], bill["flags"]) == ("2026-06-03", 13_500_000_000, ["a", "b"])
    assert (bill["is_government"], bill["summary_en"]) == (False, None)
    assert bill["last_changed_at"] == "2026-06-10T12:00:00.123456+00:00"
    assert [line["new"] for line in lines(tmp_path / "bill_changes.jsonl")] == [
        None,
        6,
        "An Act",
        {"state": "completed", "sittings": 2},
    ]
    assert lines(tmp_path / "politician_memberships.jsonl")[0]["start_on"] == "2025-04-28"


def test_csv_reads_back_cell_by_cell(resources: Resources, tmp_path: Path) -> None:
    export.export(resources.engine, resources.datasets.values(), str(tmp_path), ["csv"])
    with (tmp_path / "bills.csv").open(encoding="utf-8", newline="") as file:
        bill, _ = csv.DictReader(file)
    assert (bill["title_fr"], bill["flags"]) == ('Loi « élargie », "dite" de\n2026', '["a", "b"]')
    assert (bill["is_government"], bill["summary_en"]) == ("false", "")
    with (tmp_path / "bill_changes.csv").open(encoding="utf-8", newline="") as file:
        changes = list(csv.DictReader(file))
    assert [(change["old"], change["new"]) for change in changes[1:3]] == [("", "6"), ('"6"', '"An Act"')]


def test_parquet_has_the_types_of_the_database(resources: Resources, tmp_path: Path) -> None:
    from arro3.io import read_parquet

    export.export(resources.engine, resources.datasets.values(), str(tmp_path), ["parquet"])
    table = read_parquet(str(tmp_path / "bills.parquet")).read_all()
    bill = {name: table.column(name).to_pylist()[0] for name in table.column_names}
    assert (bill["introduced_on"], bill["legisinfo_id"], bill["flags"]) == (
        date(2026, 6, 3),
        13_500_000_000,
        ["a", "b"],
    )
    assert (bill["is_government"], bill["summary_en"]) == (False, None)
    assert bill["last_changed_at"].astimezone(UTC) == datetime(2026, 6, 10, 12, 0, 0, 123_456, tzinfo=UTC)
    types = {field.name: str(field.type) for field in table.schema}
    assert ("Int16" in types["parliament"], "Boolean" in types["withdrawn"]) == (True, True)
    assert not table.schema.field("title_en").nullable
    changes = read_parquet(str(tmp_path / "bill_changes.parquet")).read_all()
    assert changes.column("new").to_pylist() == [None, "6", '"An Act"', '{"state": "completed", "sittings": 2}']


def test_sqlite_has_keys_indexes_and_search(resources: Resources, tmp_path: Path) -> None:
    export.export(resources.engine, resources.datasets.values(), str(tmp_path), ["sqlite"])
    with closing(sqlite3.connect(tmp_path / export.SQLITE)) as db:
        assert db.execute("select count(*) from bills").fetchone() == (2,)
        foreign = {row[2] for row in db.execute("pragma foreign_key_list(bill_stages)")}
        assert foreign == {"bills"}
        indexes = {row[1] for row in db.execute("pragma index_list(changes)")}
        assert "ix_changes_observed_at" in indexes
        db.execute("pragma foreign_keys = on")
        with pytest.raises(sqlite3.IntegrityError):
            db.execute("delete from bills where number = 'C-2'")
        hits = "select number from bills join bills_fts on bills.rowid = bills_fts.rowid where bills_fts match ?"
        assert db.execute(hits, ("whales",)).fetchall() == [("S-1",)]
        assert db.execute("select flags, is_government from bills").fetchone() == ('["a", "b"]', 0)
        assert db.execute("select json_extract(new, '$.sittings') from bill_changes where seq = 4").fetchone() == (2,)
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize(
    ("words", "found"),
    [("whales", ["S-1"]), ("elargie 2026", ["C-2"]), ("C-2", ["C-2"]), ("act", ["C-2", "S-1"]), ("walrus", [])],
)
def test_datasette_s_search_box_finds_what_the_search_finds(
    words: str, found: list[str], resources: Resources, tmp_path: Path
) -> None:
    """Datasette finds out for itself that the table has a search."""
    app = pytest.importorskip("datasette.app", reason="pip install -r requirements.txt to open the export in Datasette")
    export.export(resources.engine, resources.datasets.values(), str(tmp_path), ["sqlite"])
    opened = app.Datasette([str(tmp_path / export.SQLITE)])

    def get(page: str, **query: str) -> httpx.Response:
        answer: httpx.Response = asyncio.run(opened.client.get(page, params=query))
        return answer.raise_for_status()

    assert 'name="_search"' in get("/parlex/bills").text
    shown = get("/parlex/bills.json", _search=words, _shape="objects").json()["rows"]
    with closing(sqlite3.connect(tmp_path / export.SQLITE)) as db:
        hits = "select number from bills where rowid in (select rowid from bills_fts where bills_fts match ?)"
        right = [number for (number,) in db.execute(hits, (" ".join(f'"{word}"' for word in words.split()),))]
    assert sorted(row["number"] for row in shown) == sorted(right) == found


def test_all_files_show_one_moment_whatever_is_written_meanwhile(
    resources: Resources, db: Session, tmp_path: Path
) -> None:
    """A bill, its stage and its change come in right after the first table was read."""
    asked: list[str] = []

    @event.listens_for(resources.engine, "after_cursor_execute")
    def write(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if "FROM bills" in statement and not asked:
            db.add_all([rows.bill("C-99"), rows.change(5, number="C-99", kind="created", field=None)])
            db.commit()
        asked.append(statement)

    export.export(resources.engine, resources.datasets.values(), str(tmp_path))
    found = manifest_of(tmp_path)
    assert found["as_of_seq"] == 4
    assert {file["rows"] for file in found["files"] if file["table"] == "bills"} == {2}
    assert {file["rows"] for file in found["files"] if file["table"] == "bill_changes"} == {4}
    assert sum("FROM bills" in statement for statement in asked) == 4


def test_what_fails_leaves_the_last_export_and_no_rest(resources: Resources, db: Session, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export.export(resources.engine, resources.datasets.values(), str(out))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    db.execute(text("alter table record_changes rename to elsewhere"))
    db.commit()
    with pytest.raises(Exception, match="record_changes"):
        export.export(resources.engine, resources.datasets.values(), str(out))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_two_exports_at_once_do_not_mix(resources: Resources, db: Session, tmp_path: Path) -> None:
    db.execute(text("select pg_advisory_lock(hashtextextended('export', 0))"))
    with pytest.raises(Retryable, match="under way"):
        export.export(resources.engine, resources.datasets.values(), str(tmp_path))
    db.execute(text("select pg_advisory_unlock(hashtextextended('export', 0))"))
    export.export(resources.engine, resources.datasets.values(), str(tmp_path))


def test_memory_does_not_grow_with_the_rows(resources: Resources, db: Session, tmp_path: Path) -> None:
    """Rows come in batches: no statement holds them all."""
    batches: list[int] = []
    with resources.engine.connect() as connection:
        table = Base.metadata.tables["changes"]
        db.add_all(rows.change(seq) for seq in range(5, export.BATCH + 10))
        db.commit()
        batches = [len(batch) for batch in export._batches(connection, table)]
    assert batches == [export.BATCH, 9]


def test_wrong_formats_and_places_are_refused(resources: Resources, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'xml' is not a format"):
        export.export(resources.engine, resources.datasets.values(), str(tmp_path), ["xml"])
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="folder"):
        export.export(resources.engine, resources.datasets.values(), str(tmp_path / "file"))
    with pytest.raises(ConfigurationError, match="folder or to s3"):
        export.export(resources.engine, resources.datasets.values(), "https://example.org/x")


def test_without_its_library_parquet_is_refused_in_one_line(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['arro3'] = None\n"
        "from parlex.mirror import export\n"
        "try:\n    export._wanted([])\n"
        "except Exception as error:\n    print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ConfigurationError Parquet needs a library: pip install 'parlex[parquet]'")
    assert done.stdout.count("\n") == 1


# To a bucket.


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real S3 server on loopback, which checks signatures."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "nanio", "serve", "--host", "127.0.0.1", "--port", str(port)]
    folder = tmp_path_factory.mktemp("s3")
    environment = {**os.environ, "NANIO_ACCESS_KEY": "key", "NANIO_SECRET_KEY": "hush-hush"}
    server = subprocess.Popen(
        [*command, "--data-dir", str(folder), "--log-level", "error", "--no-access-log"], env=environment
    )
    try:
        _wait_for(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the S3 server did not start")


def bucket(endpoint: str, secret: str = "hush-hush") -> S3Store:
    return S3Store(
        "exports",
        endpoint=endpoint,
        access_key_id="key",
        secret_access_key=secret,
        region="us-east-1",
        client_options={"allow_http": True},
    )


def url(endpoint: str, secret: str = "hush-hush") -> str:
    query = f"endpoint={endpoint}&region=us-east-1&access_key_id=key&secret_access_key={secret}"
    return f"s3://exports/nightly?{query}"


def test_to_a_bucket_the_manifest_comes_last(resources: Resources, s3: str, tmp_path: Path) -> None:
    make_bucket(s3)
    export.export(resources.engine, resources.datasets.values(), url(s3))
    store = bucket(s3)
    listed = {entry["path"]: entry for page in obstore.list(store, "nightly/") for entry in page}
    manifest = json.loads(bytes(obstore.get(store, f"nightly/{export.MANIFEST}").bytes()))
    assert set(listed) == {f"nightly/{file['name']}" for file in manifest["files"]} | {f"nightly/{export.MANIFEST}"}
    for file in manifest["files"]:
        body = bytes(obstore.get(store, f"nightly/{file['name']}").bytes())
        assert hashlib.sha256(body).hexdigest() == file["sha256"]
    latest = max(listed.values(), key=lambda entry: entry["last_modified"])
    assert latest["last_modified"] == listed[f"nightly/{export.MANIFEST}"]["last_modified"]


def test_a_bucket_that_refuses_is_told_without_its_secret(resources: Resources, s3: str) -> None:
    with pytest.raises(Retryable, match="does not answer") as error:
        export.export(resources.engine, resources.datasets.values(), url(s3, secret="wrong-hush"))
    assert "hush" not in str(error.value)


def make_bucket(endpoint: str) -> None:
    """Signed as AWS has it: obstore makes no buckets."""
    import hmac

    now = datetime.now(UTC)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    host, empty = endpoint.removeprefix("http://"), hashlib.sha256(b"").hexdigest()
    headers = f"host:{host}\nx-amz-content-sha256:{empty}\nx-amz-date:{stamp}\n"
    signed = "host;x-amz-content-sha256;x-amz-date"
    request = hashlib.sha256(f"PUT\n/exports\n\n{headers}\n{signed}\n{empty}".encode()).hexdigest()
    scope = f"{day}/us-east-1/s3/aws4_request"
    key = b"AWS4hush-hush"
    for part in (day, "us-east-1", "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{request}".encode(), hashlib.sha256).hexdigest()
    authorization = f"AWS4-HMAC-SHA256 Credential=key/{scope}, SignedHeaders={signed}, Signature={signature}"
    httpx.put(
        f"{endpoint}/exports",
        headers={"x-amz-date": stamp, "x-amz-content-sha256": empty, "Authorization": authorization},
    ).raise_for_status()


def test_what_belongs_to_a_bill_and_the_sitting_days_are_files_too(resources: Resources, tmp_path: Path) -> None:
    export.export(resources.engine, resources.datasets.values(), str(tmp_path), ("sqlite", "jsonl"))
    (sitting,) = lines(tmp_path / "sittings.jsonl")
    told = {"chamber": "house", "day": "2026-06-09", "number": "129", "source": "legisinfo"}
    assert sitting == {"parliament": 45, "session": 1, **told}
    assert [row["similar_key"] for row in lines(tmp_path / "similar_bills.jsonl")] == ["44-1 C-9"]
    assert lines(tmp_path / "bill_links.jsonl") == lines(tmp_path / "bill_publications.jsonl") == []
    with closing(sqlite3.connect(tmp_path / export.SQLITE)) as db:
        query = "select e.number, s.number from bill_events e join sittings s using (chamber, day)"
        assert db.execute(query).fetchall() == [("C-2", "129")]
