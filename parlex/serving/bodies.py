"""Bodies: made once, and kept by their tag."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KEPT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Body:
    content: bytes
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_body(value: Any) -> Body:
    return Body(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


class Bodies:
    """An LRU of bodies by address, tag and encoding."""

    def __init__(self, most: int = KEPT_BYTES) -> None:
        self._most, self._size = most, 0
        self._kept: OrderedDict[tuple[str, str, str], Body] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, address: str, tag: str, encoding: str) -> Body | None:
        with self._lock:
            found = self._kept.get((address, tag, encoding))
            if found is not None:
                self._kept.move_to_end((address, tag, encoding))
            return found

    def keep(self, address: str, tag: str, encoding: str, body: Body) -> None:
        with self._lock:
            before = self._kept.pop((address, tag, encoding), None)
            self._size += len(body.content) - (len(before.content) if before else 0)
            self._kept[address, tag, encoding] = body
            while self._size > self._most:
                _, old = self._kept.popitem(last=False)
                self._size -= len(old.content)
