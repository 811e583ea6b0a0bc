"""The long-term store of documents, as a folder and over the wire of S3."""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from parlex.db.models import DocumentFetchRow, DocumentRow
from parlex.errors import ConfigurationError, Retryable
from parlex.fetching.document import Document
from parlex.mirror import documents
from parlex.mirror.archive import ArchiveDamaged, object_path, open_archive
from parlex.mirror.documents import Fetched
from parlex.mirror.export import export
from parlex.resources import Resources
from parlex.watch import upkeep

MakeResources = Callable[..., Resources]

LONG_AGO = datetime(2020, 3, 1, 12, tzinfo=UTC)


def document(text: str, fetched_at: datetime = LONG_AGO) -> Document:
    return Document(f"http://legisinfo.test/{text}", 200, fetched_at, "application/json", text.encode())


def keep(resources: Resources, *found: Document, standing: bool = False) -> None:
    """As a run keeps them: each under a key of its own name, ``standing`` as the word that its key stands on."""
    with resources.db() as db:
        fetched = [Fetched("legisinfo", "detail", each.body.decode(), each) for each in found]
        documents.keep_documents(db, fetched, dataset="bills", run_id=None)
        if standing:
            good: dict[tuple[str, str], Document | None] = {(each.body.decode(), "legisinfo"): each for each in found}
            documents.mark_checked(db, "bills", good, LONG_AGO)


def bodies(db: Session) -> dict[str, bytes | None]:
    return {row.sha256: row.body for row in db.execute(select(DocumentRow.sha256, DocumentRow.body))}


class Bucket(BaseHTTPRequestHandler):
    """As much of S3 as keeps and gives objects."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    away = False

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.away:
            self.objects[self.path] = body
        self._answer(503 if self.away else 200, b"")

    def do_GET(self) -> None:
        found = None if self.away else self.objects.get(self.path)
        self._answer(503 if self.away else 404 if found is None else 200, found or b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Sun, 01 Mar 2020 12:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def bucket() -> Iterator[tuple[str, type[Bucket]]]:
    """Its URL and its handler, whose ``objects`` are what it holds."""
    handler = type("Bucket", (Bucket,), {"objects": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    query = f"endpoint=http://127.0.0.1:{server.server_port}&region=ca-central-1"
    yield f"s3://parlex/documents?{query}&access_key_id=key&secret_access_key=hush", handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_each_document_is_one_object_by_its_sha256(make_resources: MakeResources, tmp_path: Path) -> None:
    resources = make_resources(archive_url=str(tmp_path / "archive"))
    found = [document('{"a": 1}'), document('{"a": 2}')]
    keep(resources, *found)

    assert upkeep.archive(resources) == 2
    for each in found:
        kept = tmp_path / "archive" / each.sha256[:2] / f"{each.sha256}.json.zz"
        assert hashlib.sha256(zlib.decompress(kept.read_bytes())).hexdigest() == each.sha256
    assert upkeep.archive(resources) == 0  # each once


def test_at_most_so_many_at_a_time(make_resources: MakeResources, tmp_path: Path) -> None:
    resources = make_resources(archive_url=str(tmp_path))
    keep(resources, *(document(f'"{number}"') for number in range(5)))
    assert [upkeep.archive(resources, most=3) for _ in range(3)] == [3, 2, 0]


def test_without_an_archive_nothing_is_done(make_resources: MakeResources) -> None:
    resources = make_resources()
    keep(resources, document('"a"'))
    assert upkeep.archive(resources) == 0


def test_old_bodies_live_in_the_archive_only(make_resources: MakeResources, tmp_path: Path) -> None:
    resources = make_resources(archive_url=str(tmp_path))
    old, standing, late = document('"old"'), document('"standing"'), document('"late"')
    keep(resources, old)
    keep(resources, standing, standing=True)
    upkeep.archive(resources)
    keep(resources, late)  # not in the archive yet

    assert upkeep.prune(resources)["documents"] == 1
    with resources.db() as db:
        held = bodies(db)
        assert held[old.sha256] is None
        assert held[standing.sha256]
        assert held[late.sha256]
        # Every fetch is still on record, and the body is read from where it lies.
        kept = documents.fetches(db, "bills", [old.sha256])['"old"', old.sha256]
        assert resources.archive is not None
        again = documents.read_document(db, kept, resources.archive.get)
        assert again is not None
        assert again.body == old.body
        assert documents.read_document(db, kept, None) is None


def test_a_body_that_comes_back_is_kept_again(make_resources: MakeResources, tmp_path: Path) -> None:
    """A source that goes back to an older word: its row must not stand on a body that is not there."""
    resources = make_resources(archive_url=str(tmp_path))
    keep(resources, document('"old"'))
    upkeep.archive(resources)
    upkeep.prune(resources)

    keep(resources, document('"old"', datetime.now(UTC)), standing=True)
    with resources.db() as db:
        assert documents.standing_documents(db, "bills", ['"old"'])['"old"', "legisinfo"].body == b'"old"'


def test_without_an_archive_old_documents_are_forgotten(make_resources: MakeResources) -> None:
    resources = make_resources()
    keep(resources, document('"old"'), document('"new"', datetime.now(UTC)))
    keep(resources, document('"standing"'), standing=True)

    assert upkeep.prune(resources)["documents"] == 1
    with resources.db() as db:
        assert set(db.scalars(select(DocumentFetchRow.key))) == {'"new"', '"standing"'}


def test_a_bucket_holds_the_same(make_resources: MakeResources, bucket: tuple[str, type[Bucket]]) -> None:
    url, handler = bucket
    resources = make_resources(archive_url=url)
    each = document('{"a": 1}')
    keep(resources, each)

    assert upkeep.archive(resources) == 1
    assert list(handler.objects) == [f"/parlex/documents/{object_path(each.sha256)}"]
    assert resources.archive is not None
    assert resources.archive.get(each.sha256) == each.body
    assert resources.archive.get("0" * 64) is None


def test_a_bucket_that_is_away_fails_that_step_only(
    make_resources: MakeResources, bucket: tuple[str, type[Bucket]]
) -> None:
    url, handler = bucket
    resources = make_resources(archive_url=url)
    keep(resources, document('"a"'))
    handler.away = True
    with pytest.raises(Retryable, match=r"s3://parlex/documents does not answer") as caught:
        upkeep.archive(resources)
    assert "hush" not in str(caught.value)
    assert upkeep.prune(resources)["documents"] == 0  # what the archive lacks is not dropped

    handler.away = False
    assert upkeep.archive(resources) == 1


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """And a machine whose own service gives none."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    return monkeypatch


def test_missing_credentials_are_named(make_resources: MakeResources, no_credentials: pytest.MonkeyPatch) -> None:
    """And not the address at which the library looked for some last."""
    url = "s3://parlex/documents?endpoint=http://127.0.0.1:1&region=auto"
    archive = open_archive(url)
    with pytest.raises(ConfigurationError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") as caught:
        archive.put("0" * 64, b"")
    assert "latest" not in str(caught.value)
    resources = make_resources()
    with pytest.raises(ConfigurationError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        export(resources.engine, resources.datasets.values(), url, ["jsonl"])


@pytest.mark.parametrize(
    ("given", "missing"),
    [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")],
)
def test_one_key_without_the_other_is_named(given: str, missing: str, no_credentials: pytest.MonkeyPatch) -> None:
    no_credentials.setenv(given, "hush")
    with pytest.raises(ConfigurationError, match=rf"^PARLEX_ARCHIVE_URL: {missing} is missing") as caught:
        open_archive("s3://parlex/documents?region=auto")
    assert "hush" not in str(caught.value)


def test_a_damaged_object_is_noticed(tmp_path: Path) -> None:
    archive = open_archive(str(tmp_path))
    name = hashlib.sha256(b"right").hexdigest()
    archive.put(name, zlib.compress(b"wrong"))
    with pytest.raises(ArchiveDamaged, match=name):
        archive.get(name)
    archive.put(name, b"no zlib at all")
    with pytest.raises(ArchiveDamaged, match=name):
        archive.get(name)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63, "0" * 65, "/" + "0" * 63])
def test_no_path_is_made_of_anything_but_a_sha256(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not a sha256"):
        open_archive(str(tmp_path / "archive")).put(name, b"")


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    archive = open_archive(str(tmp_path / "archive"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "archive" / "00").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="leads out of"):
        archive.put("0" * 64, b"")
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://example.org/archive", "must be a folder or begin with s3://"),
        ("s3://", "must read s3://bucket/prefix"),
        ("s3://name:hush@bucket/prefix", "must read s3://bucket/prefix"),
        ("s3://bucket/prefix?secret=hush", "unknown option secret"),
    ],
)
def test_an_archive_that_cannot_be_is_named_without_its_secrets(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^PARLEX_ARCHIVE_URL: ") as caught:
        open_archive(url)
    assert says in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be used as a folder"):
        open_archive(str(tmp_path / "archive"))


def test_age_counts_from_when_the_body_was_stored(make_resources: MakeResources, tmp_path: Path) -> None:
    resources = make_resources(archive_url=str(tmp_path), keep_documents_days=10)
    each = document('"a"', datetime.now(UTC) - timedelta(days=9))
    keep(resources, each)
    upkeep.archive(resources)
    assert upkeep.prune(resources)["documents"] == 0
    with resources.db() as db:
        db.execute(update(DocumentRow).values(stored_at=datetime.now(UTC) - timedelta(days=11)))
    assert upkeep.prune(resources)["documents"] == 1
