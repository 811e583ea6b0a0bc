"""What a run would come to, before anybody opens it. Nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.db.clock import Clock
from parlex.errors import ParlexError
from parlex.fetching.http import Tally
from parlex.fetching.throttle import BACKGROUND_SHARE
from parlex.mirror import documents
from parlex.runs.run_log import Transactions
from parlex.runs.work import Asking, Context, Dataset, Request


@dataclass(frozen=True, slots=True)
class Preview(Record):
    """What a run would come to, as far as the deciding list tells: what a companion is asked for besides shows only
    in the records and in its own list.

    ``listed`` and ``due`` are keys, ``requests`` those for their details. ``bytes`` is by what the details of each
    source weigh on average, as far as they are held; None where none of a source is. ``hours``: as the budget of the
    slowest site lets them through; None where no site has one.
    """

    dataset: str
    scope: str | None
    listed: int
    due: int
    requests: int
    bytes: int | None
    hours: float | None


def preview(db: Transactions, dataset: Dataset, request: Request) -> Preview:
    """Ask for the deciding list and nothing else, and see what is due.

    UsageError where the request is wrong; another ParlexError where the list did not come, or is not to be believed.
    """
    # A person waits for it: it takes the next free place in the budget.
    survey = dataset.survey(frozenset(), request, Asking(Tally()))
    with db() as reading:
        reading.execute(text("SET TRANSACTION READ ONLY"))
        # As if by hand: what failed lately is due too.
        context = Context(uuid4(), request, True, Clock(reading).now())
        plan = dataset.plan(reading, survey, context)
        if plan.failure is not None:
            raise ParlexError(plan.failure)
        due = plan.due[: request.limit]
        asked = Counter(source for one in due for source in one.wants)
        return Preview(
            dataset=dataset.name,
            scope=plan.scope,
            listed=plan.listed,
            due=len(due),
            requests=asked.total(),
            bytes=_bytes(reading, dataset, asked),
            hours=_hours(dataset, asked, request),
        )


def _bytes(db: Session, dataset: Dataset, asked: Mapping[str, int]) -> int | None:
    weights = documents.mean_sizes(db, dataset.name)
    if not asked.keys() <= weights.keys():
        return None
    return round(sum(count * weights[source] for source, count in asked.items()))


def _hours(dataset: Dataset, asked: Mapping[str, int], request: Request) -> float | None:
    """The sites are asked side by side: the slowest one tells."""
    of_site = Counter[str]()
    for source, count in asked.items():
        of_site[dataset.site_of(source)] += count
    share = BACKGROUND_SHARE if request.background else 1.0
    polite = [count / (share * rate * 60) for site, count in of_site.items() if (rate := dataset.rates.get(site))]
    if of_site and not polite:
        return None
    return round(max(polite, default=0.0), 3)
