"""The routes of every dataset: lists, records, what is below them."""

from __future__ import annotations

import httpx


def test_a_list_is_a_page_with_the_address_of_the_next(client: httpx.Client) -> None:
    whole = client.get("/api/v1/bills", params={"session": "45-1", "limit": 500}).json()
    assert whole["next"] is None
    first = client.get("/api/v1/bills", params={"session": "45-1", "limit": 2}).json()
    second = client.get(first["next"]).json()
    assert [*first["data"], *second["data"]] == whole["data"][:4]
