"""The documents for people, of what OpenAPI says: one page, without a script and without a foreign host."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "h2{margin-top:2.5rem;border-bottom:1px solid #ccc}code{background:#f3f3f3;padding:.1em .3em;border-radius:3px}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}"
    "summary{cursor:pointer;padding:.3rem 0}details{border-bottom:1px solid #eee}"
)
# A style of our own is no script; nothing else may be loaded.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def page(described: dict[str, Any]) -> str:
    """The page, of an OpenAPI description."""
    title = f"{described['info']['title']} {described['info']['version']}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(title)}</h1><p>{escape(described['info'].get('description', ''))}</p>"
        f'<p>For programs: <a href="/openapi.json">/openapi.json</a></p>{"".join(_groups(described))}</body></html>'
    )


def _groups(described: dict[str, Any]) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            for tag in operation.get("tags", ["other"]):
                groups.setdefault(tag, []).append(_operation(path, method, operation))
    for tag, operations in groups.items():
        yield f"<h2>{escape(tag)}</h2>{''.join(operations)}"


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(map(_parameter, operation.get("parameters", ())))
    head = f"<summary><code>{method.upper()} {escape(path)}</code> {escape(operation.get('summary', ''))}</summary>"
    table = f"<table><tr><th>parameter</th><th>type</th><th>what it says</th></tr>{rows}</table>" if rows else ""
    answer = operation["responses"].get("200", {})
    kinds = ", ".join(answer.get("content", ()))
    return f"<details>{head}{table}<p>Answers: {escape(kinds)}</p></details>"


def _parameter(one: dict[str, Any]) -> str:
    kinds = one["schema"].get("anyOf", [one["schema"]])
    told = " or ".join(_kind(kind) for kind in kinds if kind.get("type") != "null")
    needed = " (needed)" if one.get("required") else ""
    default = one["schema"].get("default")
    usual = f" Without it: {escape(str(default))}." if default is not None else ""
    help = escape(one.get("description") or one["schema"].get("description", ""))
    return f"<tr><td><code>{escape(one['name'])}</code>{needed}</td><td>{told}</td><td>{help}.{usual}</td></tr>"


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema or "const" in schema:
        return ", ".join(escape(str(each)) for each in schema.get("enum", [schema.get("const")]))
    limits = [f"{word} {schema[name]}" for name, word in (("minimum", "from"), ("maximum", "to")) if name in schema]
    return " ".join([escape(schema.get("format", schema.get("type", "any"))), *limits])
