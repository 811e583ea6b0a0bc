"""How a page is made: a read gives a view, a template shows it, and it is answered as the API answers, with its tag."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache, partial
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, nodes
from jinja2.runtime import Context as Runtime
from sqlalchemy.orm import Session
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from parlex.datasets.dataset import Dataset
from parlex.datasets.served import LANGUAGES, Cover
from parlex.mirror import sweeps
from parlex.parliament import OTTAWA, SessionId
from parlex.serving import paths, search
from parlex.serving.bodies import Body
from parlex.serving.kept import Kept
from parlex.serving.parties import Parties
from parlex.serving.problems import Problem
from parlex.serving.records import PREFIX
from parlex.settings import Settings
from parlex.web.conditional import SMALLEST_GZIP, accepts_gzip
from parlex.web.context import Context
from parlex.web.pages.words import Tongue, everything
from parlex.web.pages.written import Writing, cleaned, foreign, shortened, web

# The style sheet and the mark are ours, a form asks us; nothing else is loaded, and no script runs at all.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
MEDIA_TYPE = "text/html; charset=utf-8"
TITLE_LENGTH = 120
Values = dict[str, Any]  # what a template shows


@dataclass(frozen=True, slots=True)
class View:
    """What a page shows. ``paths``: its address in each language; ``query``: what of its parameters an address keeps.
    ``feed`` and ``json``: the same for programs, below the API. ``found`` False: search engines leave it out."""

    template: str
    title: str
    paths: Mapping[str, str]
    values: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    about: str = ""
    feed: str | None = None
    json: str | None = None
    found: bool = True


@dataclass(frozen=True, slots=True)
class Visit:
    """A question for a page, and what its read may use."""

    site: Site
    lang: str
    parts: Mapping[str, str]
    query: QueryParams
    db: Session
    now: datetime

    @property
    def tongue(self) -> Tongue:
        return self.site.tongues[self.lang]

    @property
    def writing(self) -> Writing:
        return self.site.writings[self.lang]

    def paths(self, name: str, **parts: str) -> dict[str, str]:
        """The address of a page in each language."""
        return {lang: paths.path(lang, name, **parts) for lang in LANGUAGES}

    def record_paths(self, dataset: Dataset, key: str, below: str | None = None) -> dict[str, str]:
        return {lang: paths.record_path(lang, dataset, key, below) for lang in LANGUAGES}

    @property
    def current(self) -> str | None:
        return current_session(self.db, self.site.datasets.values())

    def list_paths(self, dataset: Dataset) -> dict[str, str]:
        return {lang: paths.list_path(lang, dataset) for lang in LANGUAGES}

    def sessions(self) -> list[str]:
        return sessions(self.db, self.site.datasets.values())

    @property
    def session(self) -> SessionId:
        """The session that the address names. Problem 404 for what is none."""
        try:
            return SessionId.parse(self.parts["session"])
        except ValueError as error:
            raise Problem(404, str(error)) from None

    def api(self, dataset: Dataset, key: str) -> dict[str, Any]:
        """Of a record: what its view has for programs."""
        below = f"{getattr(dataset.served, 'list').name}/{key.replace(' ', '/')}"  # noqa: B009
        return {"feed": f"{below}.atom?lang={self.lang}", "json": below}

    def titles(self, named: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """What records are called in the page's language, by dataset and key."""
        wanted: dict[str, set[str]] = {}
        for name, key in named:
            wanted.setdefault(name, set()).add(key)
        return {
            (name, key): self._called(name, title)
            for name, keys in wanted.items()
            for key, title in self.site.datasets[name].titles(self.db, keys, self.lang).items()
        }

    def _called(self, name: str, title: str) -> str:
        """A title as the language writes it: that of a division begins with its day and the code of its result."""
        if name != "votes":
            return title
        day, result, *told = title.split(", ", 2)
        told = [self.writing.plain_day(date.fromisoformat(day)), self.tongue.named("result", result), *told]
        return ", ".join(filter(None, told))

    def nothing(self, what: str) -> Problem:
        return Problem(404, str(self.tongue.say("error.not_held", what=what)))


Read = Callable[[Visit], View]
Covers = Callable[[Mapping[str, str], QueryParams], Sequence[Cover] | None]


class Site:
    """The pages of a server."""

    def __init__(self, context: Context, datasets: Mapping[str, Dataset], settings: Settings) -> None:
        self.context, self.settings = context, settings
        self.datasets = {name: dataset for name, dataset in datasets.items() if dataset.served is not None}
        self.searches = search.collections(self.datasets)
        self.parties, self.bills = Parties(context.poller), Kept[Any](context.poller, Cover("bills"))
        called = {f"dataset.{name}": one.served.called for name, one in self.datasets.items() if one.served}
        self.tongues = {
            lang: Tongue(lang, {name: getattr(words, lang).capitalize() for name, words in called.items()})
            for lang in LANGUAGES
        }
        self.writings = {lang: Writing(tongue) for lang, tongue in self.tongues.items()}
        self.style, self.icon = (
            files(__package__).joinpath("templates", n).read_bytes() for n in ("style.css", "icon.svg")
        )
        self._look = _digest()
        self._environments = {lang: self._environment(lang) for lang in LANGUAGES}

    def endpoint(self, lang: str, read: Read, covers: Covers | None = None) -> Callable[[Request], Any]:
        """What answers a request for a page. ``covers``: whose history it is covered by; without, nobody keeps it."""

        async def answer(request: Request) -> Response:
            make = partial(self.made, lang, request, read)
            covered = covers(request.path_params, request.query_params) if covers else None
            if covered is None:
                response = await self.context.answers.uncovered(make)
                self._pack(request, response)
            else:
                # A page tells times that run on, by the day; and looks as its templates do.
                today = datetime.now(OTTAWA).date()
                variant = f".{self._look}.{today:%y%m%d}.{lang}"
                answers = self.context.answers
                response = await answers.covered(request, covered, make, variant, remembered=False)
            return self.with_policy(response, lang)

        return answer

    def made(self, lang: str, request: Request, read: Read) -> Body:
        """The page, made anew."""
        with Session(self.context.engine) as db:
            visit = Visit(self, lang, request.path_params, request.query_params, db, datetime.now(UTC))
            return Body(self.render(lang, request, read(visit)).encode(), MEDIA_TYPE)

    def render(self, lang: str, request: Request, view: View) -> str:
        base = f"{request.base_url}".rstrip("/")
        template = self._environments[lang].get_template(view.template)
        asked = f"?{paths.query_of(view.query)}" if view.query else ""
        twins = {each: path + asked for each, path in view.paths.items()}
        return template.render(
            view=view, base=base, twins=twins, here=view.paths[lang], now=datetime.now(OTTAWA), **view.values
        )

    def with_policy(self, response: Response, lang: str) -> Response:
        # On a 304 too: a browser takes the headers that it keeps from the newest answer.
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Content-Language"] = lang
        return response

    def _pack(self, request: Request, response: Response) -> None:
        if accepts_gzip(request.headers) and len(response.body) >= SMALLEST_GZIP:
            response.body = gzip.compress(bytes(response.body), 6, mtime=0)
            response.headers["Content-Encoding"] = "gzip"
            response.headers["Content-Length"] = str(len(response.body))
            response.headers["Vary"] = "Accept-Encoding"

    def _field(self, lang: str, dataset: str, name: str) -> str:
        """What a field of a record is called."""
        writing = self.writings[lang]
        spoken = f"{name.removesuffix(f'_{lang}')}_en" if name.endswith(f"_{lang}") else name
        words = self.datasets[dataset].told_fields.get(spoken)
        return writing.field(name) if writing.knows(name) or words is None else str(getattr(words, lang))

    def _environment(self, lang: str) -> Environment:
        loader = PackageLoader(__package__, "templates")
        options: Any = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True, "auto_reload": False}
        made = _Templates(loader=loader, autoescape=True, **options)
        tongue, writing = self.tongues[lang], self.writings[lang]
        made.globals |= {"say": tongue.say, "named": tongue.named, "colon": writing.colon, "written": writing}
        made.globals |= {"foreign": foreign, "cleaned": cleaned, "shortened": shortened, "web": web, "flags": (bool,)}
        made.globals |= {"lang": lang, "lists": list(self.datasets), "api": PREFIX, "look": self._look}
        made.globals |= {
            "title_length": TITLE_LENGTH,
            "number": writing.data,
            "query_of": paths.query_of,
            "other": next(each for each in LANGUAGES if each != lang),
            "path": partial(paths.path, lang),
            "record_path": lru_cache(4096)(
                lambda name, key, below=None: paths.record_path(lang, self.datasets[name], key, below)
            ),
            "list_path": lambda name: paths.list_path(lang, self.datasets[name]),
            "field_of": partial(self._field, lang),
            "largest": lambda rows: max((r["yes"] + r["no"] + r["paired"] + r["absent"] for r in rows), default=1),
            "list_of_api": lambda name: getattr(self.datasets[name].served, "list").name,  # noqa: B009
            "seconds": lambda seconds: timedelta(seconds=seconds),
            "codes": lambda part: [n.removeprefix(f"{part}.") for n in everything() if n.startswith(f"{part}.")],
            "mail": self.settings.smtp_url is not None,
        }
        # Without the look at what a function wants to be given that a call costs, for what a page has hundreds of.
        made.filters |= {
            "number": writing.data,
            "party": lambda party: tongue.named("party", party) if party else tongue.say("vote.no_party"),
        }
        return made


class _Context(Runtime):
    """Calls what a template calls, and does not look each time what it wants to be given: ours want nothing more."""

    def call(self, __obj: Any, *args: Any, _loop_vars: Any = None, _block_vars: Any = None, **more: Any) -> Any:
        return __obj(*args, **more)


class _Templates(Environment):
    """Templates of one language. A word without values is looked up once, when its template is read."""

    context_class = _Context

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A field of a row before a method of it, which is also several times as quick."""
        return obj[attribute] if type(obj) is dict and attribute in obj else super().getattr(obj, attribute)

    def _generate(self, source: nodes.Template, *args: Any, **more: Any) -> str:
        for output in source.find_all(nodes.Output):
            output.nodes = [self._said(each) for each in output.nodes]
        return super()._generate(source, *args, **more)

    def _said(self, node: nodes.Expr) -> nodes.Expr:
        match node:
            case nodes.Call(node=nodes.Name(name="say"), args=[nodes.Const(value=name)], kwargs=[]):
                say: Any = self.globals["say"]
                return nodes.TemplateData(str(say(name)))
        return node


def _digest() -> str:
    """Of what the pages are made with: a page that was kept is good as long as this is the same."""
    found = hashlib.sha256()
    templates = files(__package__).joinpath("templates")
    for each in sorted(templates.iterdir(), key=lambda one: one.name):
        found.update(each.read_bytes())
    found.update(files(__package__).joinpath("words.toml").read_bytes())
    return found.hexdigest()[:8]


def sessions(db: Session, datasets: Iterable[Dataset]) -> list[str]:
    """The sessions of which anything is listed, the newest first."""
    found = {SessionId.parse(scope) for one in datasets if one.by_session for scope in one.scopes(db)}
    return [str(each) for each in sorted(found, reverse=True)]


def current_session(db: Session, datasets: Iterable[Dataset]) -> str | None:
    """The session that the sources list as the current one, else the newest that anything is held of."""
    current = sweeps.current_session(db)
    return str(current) if current is not None else next(iter(sessions(db, datasets)), None)
