"""Of which bills OpenParliament's detail is asked for, and how the sponsor's slug follows without it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from parlex.datasets.provenance import provenance
from parlex.errors import UsageError
from parlex.resources import Resources
from parlex.runs import alone
from tests.edited import Edited
from tests.looking import SESSION, again, companion, execute, fetch, fetch_again, fetch_all, let_pass, rows, story

BY_NAME = r"^/politicians/\?include=all"
DETAIL = re.compile(r"^/bills/\d+-\d/([CS]-\w+)/")
SLUGS = "SELECT number, sponsor_slug FROM bills WHERE chamber = 'house' ORDER BY number"


def asked(source: Edited) -> list[str]:
    """The bills whose detail OpenParliament was asked for since the last call."""
    found = sorted(match[1] for target in source.asked if (match := DETAIL.match(target)))
    source.asked.clear()
    return found


def first(source: Edited, mirror: Resources) -> list[str]:
    """A first fetch; the bills that OpenParliament was asked about."""
    fetch(mirror)
    return asked(source)


def daily(mirror: Resources) -> Any:
    return alone.run_latest(mirror.pipeline, limit=1000, recheck_after_days=7)


def nameless(source: Edited, *slugs: str) -> None:
    """Let the list of politicians give these another name than LEGISinfo does."""

    def rename(page: Any) -> Any:
        for one in page["objects"]:
            if one["url"].split("/")[2] in slugs:
                one["name"] = f"Known As {one['name']}"
        return page

    source.edit(BY_NAME, rename)


def told(source: Edited, mirror: Resources) -> dict[str, str]:
    """The slugs as OpenParliament's details say them, by number."""
    fetch_all(mirror)
    return dict(rows(mirror, SLUGS))


@pytest.fixture
def slugs(source: Edited, mirror: Resources) -> dict[str, str]:
    """What follows in an empty mirror."""
    fetch(mirror)
    asked(source)
    return dict(rows(mirror, SLUGS))


def test_in_an_empty_mirror_the_slugs_follow_from_one_list_of_politicians(source: Edited, mirror: Resources) -> None:
    fetch(mirror)
    lists = [target for target in source.asked if target.startswith("/politicians")]
    assert len(lists) == 1
    assert re.match(BY_NAME, lists[0])
    assert asked(source) == []
    slugs = dict(rows(mirror, SLUGS))
    assert None not in slugs.values()
    assert told(source, mirror) == slugs, "as each detail says it"
    assert len(asked(source)) > len(slugs), "those of the Senate too"
    fetch_again(mirror)
    assert not [target for target in source.asked if target.startswith("/politicians")]


def test_senators_have_none_and_are_not_asked_about(source: Edited, mirror: Resources) -> None:
    fetch(mirror)
    query = "SELECT sponsor_slug FROM bills WHERE chamber = 'senate' AND sponsor_person_id IS NOT NULL"
    assert set(rows(mirror, query)) == {(None,)}


def test_a_sponsor_whose_name_does_not_tell_is_asked_about_in_the_same_run(source: Edited, mirror: Resources) -> None:
    nameless(source, "sean-fraser")
    found = first(source, mirror)
    assert found == sorted(number for number, slug in rows(mirror, SLUGS) if slug == "sean-fraser") != []
    assert rows(mirror, "SELECT DISTINCT status, error_count FROM fetch_logs") == [("success", 0)]
    assert fetch(mirror).bills_fetched == 0
    assert asked(source) == []


def test_what_one_bill_told_of_a_sponsor_serves_the_next(source: Edited, mirror: Resources) -> None:
    nameless(source, "sean-fraser")
    theirs = first(source, mirror)
    assert len(theirs) > 1
    for table in ("bill_stages", "changes", "bills"):
        execute(mirror, f"DELETE FROM {table} WHERE key = :key", key=f"45-1 {theirs[0]}")
    execute(mirror, "DELETE FROM latest_documents WHERE key = :key", key=f"45-1 {theirs[0]}")
    execute(mirror, "UPDATE listings SET fetched_fingerprint = NULL WHERE key = :key", key=f"45-1 {theirs[0]}")
    fetch(mirror)
    assert asked(source) == []
    assert story(mirror, theirs[0]).bill.sponsor_slug == "sean-fraser"


def test_an_initial_that_one_source_leaves_out_is_no_other_name(source: Edited, mirror: Resources) -> None:
    """David J. McGuinty of C-11 is David McGuinty at OpenParliament. Another initial is another person."""
    assert first(source, mirror) == []
    assert story(mirror, "C-11").bill.sponsor_name == "David J. McGuinty"
    assert story(mirror, "C-11").bill.sponsor_slug == "david-mcguinty"
    source.set(r"/legisinfo/en/bill/45-1/c-2/json", SponsorPersonId=4711, SponsorPersonName="Mark J. Carney")
    fetch_again(mirror)
    assert asked(source) == ["C-2"], "he is another person of that name"


def test_two_politicians_of_one_name_have_to_be_asked_about(source: Edited, mirror: Resources) -> None:
    def double(page: Any) -> Any:
        twin = {"name": "Sean Fraser", "url": "/politicians/4711/"}
        return page | {"objects": [*page["objects"], twin]}

    source.edit(BY_NAME, double)
    found = first(source, mirror)
    assert found == sorted(number for number, slug in rows(mirror, SLUGS) if slug == "sean-fraser") != []


def test_what_openparliament_says_stands(source: Edited, mirror: Resources) -> None:
    """Also that it names nobody."""
    source.set(companion("C-2"), sponsor_politician_url=None)
    source.set(companion("C-3"), sponsor_politician_url="/politicians/somebody-else/")
    fetch_all(mirror)
    found = dict(rows(mirror, SLUGS))
    assert (found["C-2"], found["C-3"]) == (None, "somebody-else")
    again(mirror, apply=True)
    assert dict(rows(mirror, SLUGS)) == found


@pytest.mark.parametrize(
    ("change", "asks"),
    [
        ({"legisinfo_id": 7}, True),
        ({"name": {"en": "Another Act", "fr": "Une autre loi"}}, True),
        ({"introduced": "2025-06-04"}, True),
        ({"introduced": None, "legisinfo_id": None}, False),
    ],
)
def test_a_line_of_its_list_that_contradicts_is_asked_about_once(
    source: Edited, mirror: Resources, change: dict[str, Any], asks: bool
) -> None:
    def edit(page: Any) -> Any:
        for one in page["objects"]:
            one |= change if one["number"] == "C-2" else {}
        return page

    assert first(source, mirror) == []
    source.edit(r"^/bills/\?", edit)
    for expected in (["C-2"] if asks else [], []):
        let_pass(mirror, hours=25)
        fetch(mirror)
        assert asked(source) == expected


def test_a_new_bill_of_a_contradicting_line_is_asked_about_with_its_first_detail(
    source: Edited, mirror: Resources
) -> None:
    def edit(page: Any) -> Any:
        for one in page["objects"]:
            one |= {"legisinfo_id": 7} if one["number"] == "C-2" else {}
        return page

    source.edit(r"^/bills/\?", edit)
    assert first(source, mirror) == ["C-2"]


def test_a_daily_run_takes_a_sample_that_rotates(make_resources: Callable[..., Resources], source: Edited) -> None:
    mirror = make_resources(legisinfo_url=source.url, openparliament_url=source.url, companion_sample=4)
    fetch(mirror)
    asked(source)
    seen: set[str] = set()
    everybody = rows(mirror, "SELECT count(*) FROM bills")[0][0]
    for _ in range(-(-everybody // 4)):
        let_pass(mirror, hours=24)
        sample = asked_by(daily, mirror, source)
        assert len(sample) <= 4
        assert not seen & set(sample), "those that were not asked about yet"
        seen |= set(sample)
        assert asked_by(daily, mirror, source) == [], "a day has one sample"
        assert asked_by(fetch, mirror, source) == []
    assert len(seen) == everybody
    let_pass(mirror, hours=24)
    assert len(asked_by(daily, mirror, source)) == 4, "and begins again with those of longest ago"


def asked_by(run: Callable[[Resources], Any], mirror: Resources, source: Edited) -> list[str]:
    run(mirror)
    return asked(source)


def test_no_sample_where_none_is_wanted(make_resources: Callable[..., Resources], source: Edited) -> None:
    mirror = make_resources(legisinfo_url=source.url, openparliament_url=source.url, companion_sample=0)
    first(source, mirror)
    let_pass(mirror, hours=24)
    assert asked_by(daily, mirror, source) == []


def test_all_of_the_companion_is_asked_for_by_hand(source: Edited, mirror: Resources) -> None:
    assert first(source, mirror) == []
    run = fetch_all(mirror)
    count = rows(mirror, "SELECT count(*) FROM bills")[0][0]
    assert (len(asked(source)), run.status) == (count, "success")
    assert fetch_all(mirror).bills_fetched == 0, "it goes on where it ended"


def test_a_companion_is_asked_for_where_there_is_one(mirror: Resources) -> None:
    with pytest.raises(UsageError, match="votes have no companion"):
        mirror.pipeline.session_request(SESSION, dataset="votes", companion="all")
    with pytest.raises(UsageError, match="companion must be all"):
        mirror.pipeline.latest_request(companion="some")


def test_politicians_who_come_later_name_the_sponsors(source: Edited, mirror: Resources) -> None:
    """Without a request to anybody but for them."""
    source.edit(r"^/politicians/\?include=all", lambda page: page | {"objects": []})
    source.edit(r"^/bills/45-1/", lambda bill: None)  # and no detail of a bill is there to ask
    fetch(mirror)
    assert set(dict(rows(mirror, SLUGS)).values()) == {None}
    source.edits.clear()
    asked(source)
    assert alone.run_latest(mirror.pipeline, limit=None, dataset="politicians").status == "success"
    assert asked(source) == []
    found = dict(rows(mirror, SLUGS))
    assert None not in found.values()
    kinds = "SELECT DISTINCT dataset, kind FROM changes WHERE field = 'sponsor_slug'"
    assert rows(mirror, kinds) == [("bills", "reparsed")], "our knowledge, and no news of the bill"
    assert told(source, mirror) == found


def test_the_number_of_a_person_is_worth_more_than_the_name(source: Edited, mirror: Resources) -> None:
    """A list that calls somebody else by the sponsor's name misleads, until the politicians are held."""

    def swap(page: Any) -> Any:
        for one in page["objects"]:
            one["name"] = {"Sean Fraser": "Mark Carney", "Mark Carney": "Sean Fraser"}.get(one["name"], one["name"])
        return page

    source.edit(BY_NAME, swap)
    fetch(mirror)
    theirs = [number for number, slug in rows(mirror, SLUGS) if slug == "mark-carney"]
    assert theirs
    source.edits.clear()
    alone.run_latest(mirror.pipeline, limit=None, dataset="politicians")
    found = dict(rows(mirror, SLUGS))
    assert {found[number] for number in theirs} == {"sean-fraser"}


def test_a_slug_that_follows_no_more_is_not_lost(source: Edited, mirror: Resources, slugs: dict[str, str]) -> None:
    execute(mirror, "DELETE FROM listings WHERE dataset = 'politicians' AND key <> 'mark-carney'")
    fetch_again(mirror)
    again(mirror, apply=True)
    assert dict(rows(mirror, SLUGS)) == slugs
    assert asked(source) == []


def test_another_sponsor_is_asked_about(source: Edited, mirror: Resources, slugs: dict[str, str]) -> None:
    """The old one's slug is no good value any more."""
    detail = r"/legisinfo/en/bill/45-1/c-2/json"
    source.set(detail, SponsorPersonId=4711, SponsorPersonName="Nobody Known")
    source.set(companion("C-2"), sponsor_politician_url="/politicians/nobody-known/")
    fetch_again(mirror)
    assert asked(source) == ["C-2"]
    assert dict(rows(mirror, SLUGS)) == slugs | {"C-2": "nobody-known"}


def test_an_old_word_on_another_sponsor_is_asked_for_again(source: Edited, mirror: Resources) -> None:
    fetch_all(mirror)
    other = dict(rows(mirror, "SELECT number, sponsor_person_id FROM bills WHERE sponsor_slug = 'mark-carney'"))
    person = next(iter(other.values()))
    source.set(r"/legisinfo/en/bill/45-1/c-2/json", SponsorPersonId=person, SponsorPersonName="Mark Carney")
    let_pass(mirror, hours=25)
    asked(source)
    fetch_again(mirror)
    assert asked(source) == ["C-2"]


def test_provenance_says_what_a_slug_was_derived_from(source: Edited, mirror: Resources) -> None:
    fetch(mirror)
    (by_name,) = (one for one in origins(mirror, "C-2") if one.field == "sponsor_slug")
    assert [(one.dataset, one.source) for one in by_name.derived_from] == [
        ("bills", "legisinfo"),
        ("politicians", "openparliament"),
    ]
    assert "/politicians/?include=all" in by_name.derived_from[1].url
    alone.run_latest(mirror.pipeline, limit=None, dataset="politicians")
    (by_person,) = (one for one in origins(mirror, "C-2") if one.field == "sponsor_slug")
    assert by_person.derived_from[1].url.endswith(f"/politicians/{by_person.value}/")
    fetch_all(mirror)
    (said,) = (one for one in origins(mirror, "C-2") if one.field == "sponsor_slug")
    assert (said.derived_from, said.source) == ((), "openparliament")
    assert said.document is not None


def origins(mirror: Resources, number: str) -> Any:
    with mirror.db() as db:
        return provenance(db, mirror.datasets["bills"], f"45-1 {number}")
