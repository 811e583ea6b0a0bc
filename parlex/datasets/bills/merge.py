"""Who says what: for each field of a bill the source that decides, and the one that stands in for it.

A blank of the deciding source is filled by the stand-in where the table names one; where it names none, a blank is the
source's word and withdraws the old value, which is recorded as a change. A source that was not reached says nothing:
its last good document is merged again, so a failed request erases no value.

LEGISinfo decides nearly all, since it is the publisher of record. OpenParliament alone knows its own slugs. The two
disagree on royal assent for three bills, and there LEGISinfo's date is right, so its flag is compared but never used.
OpenParliament's introduction date is not a stand-in either: for bills reinstated after a prorogation it shows the first
day of the session, on which nothing was introduced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from parlex.datasets.bills.bill import PARTICULARS, Bill, LegisinfoBill, OpenParliamentBill
from parlex.datasets.bills.events import PARTS
from parlex.parliament import BillKey

Source = Literal["legisinfo", "openparliament"]


SPINE: Final = "legisinfo"
COMPANION: Final = "openparliament"
# OpenParliament's importer refuses older parliaments.
COMPANION_SINCE = 37


@dataclass(frozen=True, slots=True)
class Rule:
    decides: Source
    stand_in: Source | None = None


_SPINE = Rule(SPINE)
_SPINE_THEN_COMPANION = Rule(SPINE, COMPANION)

RULES: dict[str, Rule] = {
    "title_en": _SPINE_THEN_COMPANION,
    "title_fr": _SPINE_THEN_COMPANION,
    "short_title_en": _SPINE_THEN_COMPANION,
    "short_title_fr": _SPINE_THEN_COMPANION,
    "status_code": _SPINE,
    "status_en": _SPINE,
    "status_fr": _SPINE,
    "bill_type": _SPINE,
    "chamber": _SPINE,
    "is_government": _SPINE,
    "is_pro_forma": _SPINE,
    "sponsor_person_id": _SPINE,
    "sponsor_name": _SPINE,
    "sponsor_slug": Rule("openparliament"),
    "introduced_on": _SPINE,
    "house_first_reading_on": _SPINE,
    "house_second_reading_on": _SPINE,
    "house_third_reading_on": _SPINE,
    "senate_first_reading_on": _SPINE,
    "senate_second_reading_on": _SPINE,
    "senate_third_reading_on": _SPINE,
    "royal_assent_on": _SPINE,
    "statute_year": _SPINE,
    "statute_chapter": _SPINE,
    "reinstated_from": _SPINE,
    "reinstated_as": _SPINE,
    "legisinfo_id": _SPINE_THEN_COMPANION,
    "text_url": _SPINE_THEN_COMPANION,
    "summary_en": _SPINE,
    "summary_fr": _SPINE,
    **dict.fromkeys((name for name in PARTICULARS if name not in PARTS), _SPINE),
    "stages": _SPINE,
    **dict.fromkeys(PARTS, _SPINE),
}


def merge(spine: LegisinfoBill, companion: OpenParliamentBill | None) -> Bill:
    """The bill by the table above. Without a companion its fields are what the spine alone can tell."""
    offers = {"legisinfo": spine_fields(spine), "openparliament": companion_fields(companion)}
    return Bill(key=spine.key, **{field: _choose(rule, field, offers)[1] for field, rule in RULES.items()})


def origin(field: str, spine: LegisinfoBill, companion: OpenParliamentBill | None) -> Source:
    """The source whose word the merged ``field`` is."""
    offers = {"legisinfo": spine_fields(spine), "openparliament": companion_fields(companion)}
    return _choose(RULES[field], field, offers)[0]


def _choose(rule: Rule, field: str, offers: dict[str, dict[str, Any]]) -> tuple[Source, Any]:
    value = offers[rule.decides].get(field)
    if value is None and rule.stand_in is not None:
        other = offers[rule.stand_in].get(field)
        if other is not None:
            return rule.stand_in, other
    return rule.decides, value


def spine_fields(bill: LegisinfoBill) -> dict[str, Any]:
    """LEGISinfo's offer, by the names of :class:`Bill`."""
    days = bill.milestones
    return {
        "title_en": bill.title_en,
        "title_fr": bill.title_fr,
        "short_title_en": bill.short_title_en,
        "short_title_fr": bill.short_title_fr,
        "status_code": bill.status_code,
        "status_en": bill.status_en,
        "status_fr": bill.status_fr,
        "bill_type": bill.bill_type,
        "chamber": bill.chamber,
        "is_government": bill.bill_type.is_government,
        "is_pro_forma": bill.is_pro_forma,
        "sponsor_person_id": bill.sponsor_person_id,
        "sponsor_name": bill.sponsor_name,
        "introduced_on": days.introduced_on,
        "house_first_reading_on": days.house_first_reading_on,
        "house_second_reading_on": days.house_second_reading_on,
        "house_third_reading_on": days.house_third_reading_on,
        "senate_first_reading_on": days.senate_first_reading_on,
        "senate_second_reading_on": days.senate_second_reading_on,
        "senate_third_reading_on": days.senate_third_reading_on,
        "royal_assent_on": days.royal_assent_on,
        "statute_year": bill.statute_year,
        "statute_chapter": bill.statute_chapter,
        "reinstated_from": _key_text(bill.reinstated_from),
        "reinstated_as": _key_text(bill.reinstated_as),
        "legisinfo_id": bill.legisinfo_id,
        "text_url": bill.text_url,
        "summary_en": bill.summary_en,
        "summary_fr": bill.summary_fr,
        "stages": bill.stages,
        **{name: getattr(bill, name) for name in PARTICULARS},
    }


def companion_fields(bill: OpenParliamentBill | None) -> dict[str, Any]:
    """OpenParliament's offer, by the names of :class:`Bill`; empty where it has not shown the bill yet."""
    if bill is None:
        return {}
    return {
        "title_en": bill.title_en,
        "title_fr": bill.title_fr,
        "short_title_en": bill.short_title_en,
        "short_title_fr": bill.short_title_fr,
        "sponsor_slug": bill.sponsor_slug,
        "legisinfo_id": bill.legisinfo_id,
        "text_url": bill.text_url,
    }


def _key_text(key: BillKey | None) -> str | None:
    return str(key) if key else None
