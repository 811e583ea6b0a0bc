"""What a search engine asks a site for: robots.txt, and all addresses, dataset by dataset."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from xml.sax.saxutils import escape

from fastapi import FastAPI
from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from parlex.datasets.served import LANGUAGES, Cover
from parlex.serving import paths
from parlex.serving.bodies import Body
from parlex.serving.problems import Problem
from parlex.web.pages.site import Site

_XML = "application/xml"
_NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"
_FIXED = ("front", "changes", "follow", "data", "mirror")


def install(app: FastAPI, site: Site) -> None:
    names = ("pages", *site.datasets)

    async def robots(request: Request) -> Response:
        base = f"{request.base_url}".rstrip("/")
        return Response(f"User-agent: *\nDisallow: /api/\nSitemap: {base}/sitemap.xml\n", media_type="text/plain")

    async def index(request: Request) -> Response:
        base = str(request.base_url).rstrip("/")
        listed = "".join(f"<sitemap><loc>{base}/sitemap-{name}.xml</loc></sitemap>" for name in names)
        return Response(f'<sitemapindex xmlns="{_NAMESPACE}">{listed}</sitemapindex>', media_type=_XML)

    async def one(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in names:
            raise Problem(404, f"there is nothing at {request.url.path}")
        make = partial(_body, site, name, f"{request.base_url}".rstrip("/"))
        covers = [Cover(name)] if name in site.datasets else []
        return await site.context.answers.covered(request, covers, make, ".xml")

    app.add_route("/robots.txt", robots, include_in_schema=False)
    app.add_route("/sitemap.xml", index, include_in_schema=False)
    app.add_route("/sitemap-{name}.xml", one, include_in_schema=False)


def _body(site: Site, name: str, base: str) -> Body:
    found = "".join(f"<url><loc>{escape(base + address)}</loc></url>" for address in _addresses(site, name))
    return Body(f'<urlset xmlns="{_NAMESPACE}">{found}</urlset>'.encode(), _XML)


def _addresses(site: Site, name: str) -> Iterator[str]:
    if name not in site.datasets:
        yield from (paths.path(lang, page) for page in _FIXED for lang in LANGUAGES)
        return
    dataset = site.datasets[name]
    with site.context.engine.connect() as db:
        keys = list(db.scalars(select(dataset.key).where(dataset.withdrawn.is_(False)).order_by(dataset.key)))
    yield from (paths.record_path(lang, dataset, key) for key in keys for lang in LANGUAGES)
