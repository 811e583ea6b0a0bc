"""What every dataset has by what it declares: its list, a record with what is below it, its history, its sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parlex.datasets import provenance
from parlex.datasets.dataset import Dataset
from parlex.datasets.served import Collection, Served
from parlex.serving import queries
from parlex.web.pages import asked, changes
from parlex.web.pages.site import Read, Values, View, Visit

_BELOW = 50  # rows of a list on the page of its record
_ASIDE = ("first_seen_at", "last_changed_at", "withdrawn", "person_id", "parliament", "session")


def served(dataset: Dataset) -> Served:
    assert dataset.served is not None
    return dataset.served


def key_of(dataset: Dataset, row: Mapping[str, Any]) -> str:
    """The key of a row of a list, by the parts of the path to its record."""
    parts = {name: row[name] for name in served(dataset).example if name in row}
    if "session" in parts and "parliament" in row:
        parts["session"] = f"{row['parliament']}-{row['session']}"
    return served(dataset).key({name: str(value) for name, value in parts.items()})


def list_of(name: str, template: str = "list.html", sort: str | None = None) -> Read:
    """The list of a dataset, with the filters that a form can have: choices, words, and yes or no."""

    def read(visit: Visit) -> View:
        dataset = visit.site.datasets[name]
        collection, session = served(dataset).list, visit.parts.get("session")
        filters = {
            each: one
            for each, one in collection.filters.items()
            if (one.choices or one.type in (str, bool)) and each not in ("session", "lang", "number", "withdrawn")
        }
        given = {each: value for each in (*filters, "sort") if (value := visit.query.get(each))}
        fixed = {"session": session} if session else {}
        question = asked.question(
            collection, visit.query, sort=given.get("sort", sort or next(iter(collection.sorts))), **fixed
        )
        page = asked.rows(visit, collection, question)
        total = queries.count(visit.db.connection(), collection, question)
        if session and not total and len(question.filters) == 1:
            raise visit.nothing(session)
        label = visit.tongue.named("dataset", name)
        title = visit.tongue.say("list.title", what=label, session=session) if session else label
        keys = [key_of(dataset, row) for row in page.rows]
        titles = visit.titles((name, key) for key in keys)
        tail = f"/{session}" if session else ""
        values: Values = {
            "dataset": name,
            "session": session,
            "page": page,
            "total": total,
            "filters": filters,
            "given": given,
        }
        values |= {
            "entries": [(key, titles.get((name, key)), row) for key, row in zip(keys, page.rows, strict=True)],
            "columns": columns(visit, collection),
            "asked": given | ({"cursor": question.cursor} if question.cursor else {}),
            "sessions": visit.sessions() if session else [],
        }
        return View(
            template,
            str(title),
            {lang: f"{path}{tail}" for lang, path in visit.list_paths(dataset).items()},
            values,
            given,
            about=str(visit.tongue.say("list.about", what=title)),
            feed=f"{collection.name}.atom?lang={visit.lang}{f'&session={session}' if session else ''}",
            json=collection.name + (f"?session={session}" if session else ""),
        )

    return read


def columns(visit: Visit, collection: Collection) -> list[str]:
    """The fields of a list that its table shows: those of the page's language, and not what is told otherwise."""
    other = next(each for each in visit.site.tongues if each != visit.lang)
    return [name for name in collection.fields if not name.endswith(f"_{other}") and name not in _ASIDE]


def record_of(name: str) -> Read:
    """A record of a dataset that has no page of its own making."""

    def read(visit: Visit) -> View:
        dataset = visit.site.datasets[name]
        key, record = asked.record(visit, dataset)
        below = [
            (each, asked.rows(visit, each, asked.question(each, parent=key, limit=_BELOW)), columns(visit, each))
            for each in served(dataset).below
        ]
        title = visit.titles([(name, key)]).get((name, key), key)
        other = next(each for each in visit.site.tongues if each != visit.lang)
        told = {field: value for field, value in record.items() if not field.endswith(f"_{other}")}
        values: Values = {"dataset": name, "key": key, "label": title, "record": told, "below": below}
        values |= {"history": changes.of_record(visit, name, key)}
        return View("record.html", title, visit.record_paths(dataset, key), values, **visit.api(dataset, key))

    return read


def history_of(name: str) -> Read:
    """The whole history of a record."""

    def read(visit: Visit) -> View:
        key, title = named(visit, name)
        dataset = visit.site.datasets[name]
        values: Values = {"dataset": name, "key": key, "label": title, "history": changes.whole(visit, name, key)}
        title, where = f"{visit.tongue.say('history.title')} · {title}", visit.record_paths(dataset, key, "history")
        return View("history.html", title, where, values, **visit.api(dataset, key))

    return read


def sources_of(name: str) -> Read:
    """Where each field of a record is from."""

    def read(visit: Visit) -> View:
        key, title = named(visit, name)
        dataset = visit.site.datasets[name]
        origins = provenance.provenance(visit.db, dataset, key)
        values: Values = {"dataset": name, "key": key, "label": title, "origins": [one.as_json() for one in origins]}
        about = f"{visit.tongue.say('sources.title')} · {title}"
        return View("sources.html", about, visit.record_paths(dataset, key, "sources"), values, found=False)

    return read


def named(visit: Visit, name: str) -> tuple[str, str]:
    """The key of the record that the address names, and what it is called."""
    dataset = visit.site.datasets[name]
    key, _ = asked.record(visit, dataset)
    title = visit.titles([(name, key)]).get((name, key))
    return key, f"{key} · {title}" if title and title != key else key
