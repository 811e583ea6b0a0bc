"""What the pages say, in both languages: ``words.toml`` has every text, by section and name, as [English, French].

A name that ends in ``.one`` or ``.many`` goes with a count: in French, nothing and one and a half are one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup, escape

from parlex.datasets.served import LANGUAGES

_SAFE = (Markup, int)  # needs no escape


def _flat(found: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


@cache
def everything() -> dict[str, dict[str, str]]:
    """Each text by its name, in each language."""
    found = tomllib.loads(files(__package__).joinpath("words.toml").read_text(encoding="utf-8"))
    return {name: dict(zip(LANGUAGES, texts, strict=True)) for name, texts in _flat(found)}


class Tongue:
    """The texts of one language. ``more``: further ones, of what has no name here."""

    def __init__(self, lang: str, more: Mapping[str, str] | None = None) -> None:
        self.lang = lang
        self._texts = {**(more or {}), **{name: texts[lang] for name, texts in everything().items()}}
        self._said = {name: escape(text) for name, text in self._texts.items()}

    def say(self, name: str, **values: Any) -> Markup:
        """A text with its values in it, each escaped unless it is markup. KeyError for a name that is none."""
        text = self._said[name]
        # As str, which is several times as quick as markup and escapes nothing by itself.
        return (
            Markup(str.format(text, **{n: v if type(v) in _SAFE else escape(v) for n, v in values.items()}))
            if values
            else text
        )

    def count(self, name: str, number: int, shown: Any) -> Markup:
        """A text about a number, which is ``shown`` in it as n."""
        one = number < 2 if self.lang == "fr" else number == 1
        return self.say(f"{name}.{'one' if one else 'many'}", n=shown)

    def named(self, section: str, code: Any) -> str:
        """What a code of the sources is called; the code itself where nobody has named it."""
        return self._texts.get(f"{section}.{code}", str(code))

    def has(self, name: str) -> bool:
        return name in self._texts
