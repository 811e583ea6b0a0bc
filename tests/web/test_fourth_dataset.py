"""A dataset that only the tests have is served by what its own folder declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from parlex import resources as composition
from parlex.resources import Resources
from parlex.runs import alone
from tests.datasets.toys import Shop, builder, make_tables, shop
from tests.web.serving import Served, serving


@pytest.fixture
def open_shop() -> Iterator[Shop]:
    with shop() as open_shop:
        for key in ("ball", "car", "doll"):
            open_shop.put(key)
        yield open_shop


@pytest.fixture
def mirror(open_shop: Shop, make_resources: Callable[..., Resources]) -> Iterator[Resources]:
    composition.DATASETS.append(builder(open_shop.address))
    mirror = make_resources()
    make_tables(mirror.engine)
    try:
        alone.run_latest(mirror.pipeline, dataset="toys")
        yield mirror
    finally:
        composition.DATASETS.pop()


@pytest.fixture
def server(mirror: Resources) -> Iterator[Served]:
    with serving(mirror) as server:
        yield server


def test_toys_are_served_as_everything_else(open_shop: Shop, mirror: Resources, server: Served) -> None:
    with httpx.Client(base_url=f"{server.address}/api/v1/") as client:
        page = client.get("toys?limit=2").json()
        rest = client.get(page["next"]).json()
        assert [row["key"] for row in (*page["data"], *rest["data"])] == ["ball", "car", "doll"]
        assert client.get("toys?colour=blue").json() == {"data": [], "next": None}
        car = client.get("toys/car")
        assert (car.json()["maker"], car.json()["colour"]) == ("Ada", "red")
        wheels = [{"place": "left", "size": 3}, {"place": "right", "size": 3}]
        assert client.get("toys/car/wheels").json()["data"] == wheels
        assert client.get("toys/car/wheels.csv").text.split() == ["place,size", "left,3", "right,3"]
        origins = {one["field"]: one["source"] for one in client.get("toys/car/provenance").json()["data"]}
        assert origins["maker"] == "workshop"
        assert client.get("toys/train").status_code == 404
        assert [line["kind"] for line in client.get("toys/car/changes").json()["data"]] == ["created"]
        assert client.get("toys/train/changes").status_code == 404

        open_shop.put("car", mark=2, colour="blue")
        alone.run_latest(mirror.pipeline, dataset="toys")
        server.wait_for(mirror)
        new = client.get("toys/car", headers={"If-None-Match": car.headers["etag"]})
        assert (new.status_code, new.json()["colour"]) == (200, "blue")
        ball = client.get("toys/ball").headers["etag"]
        assert client.get("toys/ball", headers={"If-None-Match": ball}).status_code == 304
        assert client.get("changes?dataset=toys&after=3").json()["data"][0]["new"] == "blue"
        assert "<title>car Toy car: New colour</title>" in client.get("toys/car.atom").text
        assert "<title>car Toy car: Nouvelle couleur</title>" in client.get("toys.atom?field=colour&lang=fr").text
        assert "/api/v1/toys/{key}/wheels" in httpx.get(f"{server.address}/openapi.json").json()["paths"]

        found = client.get("search?q=TOY+car").json()["data"]
        assert [(one["kind"], one["key"], one["url"]) for one in found] == [("toy", "car", "/api/v1/toys/car")]
        query = '{toys(first: 1) {key wheels {place} changes {kind}} toy(key: "car") {maker colour}}'
        told = httpx.post(f"{server.address}/graphql", json={"query": query}).json()["data"]
        ball = {"key": "ball", "wheels": [{"place": "left"}, {"place": "right"}], "changes": [{"kind": "created"}]}
        assert told == {"toys": [ball], "toy": {"maker": "Ada", "colour": "blue"}}


def test_toys_have_pages_by_what_their_folder_declares(open_shop: Shop, mirror: Resources, server: Served) -> None:
    open_shop.put("car", mark=2, colour="blue")
    open_shop.put("train")
    alone.run_latest(mirror.pipeline, dataset="toys")
    server.wait_for(mirror)
    with httpx.Client(base_url=server.address) as client:
        front = client.get("/en/").raise_for_status().text
        assert 'href="/en/toys"' in front
        assert "New colour" in front
        assert 'href="/en/toys/train"' in front
        listed = client.get("/fr/toys").raise_for_status().text
        assert all(f'href="/fr/toys/{key}"' in listed for key in ("ball", "car", "doll", "train"))
        assert "train" not in client.get("/en/toys?colour=blue").raise_for_status().text
        car = client.get("/en/toys/car").raise_for_status().text
        assert all(word in car for word in ("Toy car", "Ada", "New colour", "red", "blue", "left"))
        assert "workshop" in client.get("/en/toys/car/sources").raise_for_status().text
        assert "blue" in client.get("/fr/toys/car/historique").raise_for_status().text
        assert "New colour" in client.get("/en/changes?dataset=toys").raise_for_status().text
        assert 'href="/fr/toys/car"' in client.get("/fr/recherche?q=toy+car").raise_for_status().text
        assert client.get("/en/toys/nothing").status_code == 404
        assert "/fr/toys/car" in client.get("/sitemap-toys.xml").raise_for_status().text
        again = client.get("/en/toys/ball", headers={"If-None-Match": client.get("/en/toys/ball").headers["etag"]})
        assert again.status_code == 304
