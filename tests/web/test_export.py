"""The manifest of the newest export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from parlex.local.embedded import resolve
from parlex.mirror import export
from parlex.resources import Resources
from parlex.settings import Settings
from tests.web.serving import serving


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_the_manifest_is_that_of_the_newest_export(
    make_settings: Callable[..., Settings], tmp_path: Path, scheme: str
) -> None:
    settings = make_settings(export_url=f"{scheme}{tmp_path}/exports")
    mirror = Resources(settings, resolve(settings))
    with serving(mirror) as server, httpx.Client(base_url=server.address) as client:
        none = client.get("/export/manifest.json")
        assert (none.status_code, none.headers["content-type"]) == (404, "application/problem+json")
        assert "parlex export" in none.json()["detail"]
        made = export.export(mirror.engine, mirror.datasets.values(), f"{tmp_path}/exports", ["csv"])
        told = client.get("/export/manifest.json")
        assert told.json() == made.to_dict()
        assert told.headers["cache-control"] == "no-store"
        (tmp_path / "exports" / export.MANIFEST).unlink()
        (tmp_path / "exports" / export.MANIFEST).mkdir()
        broken = client.get("/export/manifest.json")
        assert (broken.status_code, broken.json()["detail"]) == (503, "the place of the exports does not answer")
    mirror.close()


def test_a_mirror_without_a_place_for_exports_has_none(client: httpx.Client) -> None:
    assert client.get("/export/manifest.json").status_code == 404
