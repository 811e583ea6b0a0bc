"""Answers that no honest source gives, for the tests of what Parlex does with them.

    fault(sandbox, "gzip_bomb", host="legisinfo", first=16)

The sandbox's own kinds of fault, by the same call: see ``parlex.local.sandbox.faults``.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from parlex.local.sandbox import Sandbox
from parlex.local.sandbox.faults import Fault, Spoiler
from parlex.local.sandbox.web import Answer, pack

MB = 1024 * 1024
HUGE = 200 * MB  # of a body, on the wire or unpacked


def fault(sandbox: Sandbox, kind: str, **options: Any) -> Fault:
    """Add a fault of the sandbox's or of ours; what is returned counts how often it matched and fired."""
    return sandbox.fault(kind, spoiler=SPOILERS.get(kind), **options)


def redirected(fault: Fault, answer: Answer) -> Answer:
    """To a new address at each step, so that no memory of addresses ends it."""
    return Answer(302, kind=answer.kind, headers=(("Location", f"?again={fault.fired}"),), delay=answer.delay)


def endless(fault: Fault, answer: Answer) -> Answer:
    """A page whose next page is always another one."""
    target = f'"next_url": "/bills/?session=45-1&offset={fault.fired}"'
    return replace(answer, body=re.sub(rb'"next_url": (null|"[^"]*")', target.encode(), answer.body), packed=None)


def bomb(fault: Fault, answer: Answer) -> Answer:
    """Blanks, packed to a thousandth."""
    return replace(answer, packed=pack(b" " * MB) * (HUGE // MB))


def recoded(fault: Fault, answer: Answer) -> Answer:
    body = json.dumps(json.loads(answer.body.decode("utf-8-sig")), ensure_ascii=False)
    coded = body.encode("cp1252", errors="replace")
    return replace(answer, body=coded, packed=None, content_type="application/json; charset=windows-1252")


def deep(fault: Fault, answer: Answer) -> Answer:
    return replace(answer, body=b"[" * 100_000 + b"]" * 100_000, packed=None)


def big_numbers(fault: Fault, answer: Answer) -> Answer:
    body = re.sub(rb'("(?:Id|BillId|legisinfo_id)": ?)\d+', rb"\g<1>" + b"9" * 5000, answer.body)
    return replace(answer, body=body, packed=None)


def with_nul(fault: Fault, answer: Answer) -> Answer:
    """NUL and a bell in every text, as JSON writes them."""
    return replace(answer, body=re.sub(rb'(: ?")(?=\w)', rb"\1\\u0000\\u0007", answer.body), packed=None)


def huge(fault: Fault, answer: Answer) -> Answer:
    """More bytes than anybody should take, and no length before them."""
    return replace(answer, padding=HUGE)


SPOILERS: dict[str, Spoiler] = {
    "redirect_loop": redirected,
    "endless_pages": endless,
    "huge": huge,
    "gzip_bomb": bomb,
    "charset": recoded,
    "deep": deep,
    "big_numbers": big_numbers,
    "nul": with_nul,
}
