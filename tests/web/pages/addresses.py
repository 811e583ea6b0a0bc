"""An address of each kind of page, in both languages, of a mirror that is filled."""

from __future__ import annotations

import httpx

API = "/api/v1"


def addresses(client: httpx.Client) -> dict[str, tuple[str, str]]:
    """By the kind of page: its address in English and in French."""
    vote = client.get(f"{API}/votes?session=45-1&limit=1").raise_for_status().json()["data"][0]["number"]
    slug = (
        client.get(f"{API}/votes/45-1/{vote}/ballots?limit=1").raise_for_status().json()["data"][0]["politician_slug"]
    )
    bill = client.get(f"{API}/bills?session=45-1&status=RoyalAssentGiven&limit=1").json()["data"][0]["number"]
    found = {"front": ("", ""), "bills": ("bills/45-1", "projets-de-loi/45-1")}
    for name, below in (("bill", ""), ("as it was", "?as_of=2999-01-01")):
        found[name] = (f"bills/45-1/{bill}{below}", f"projets-de-loi/45-1/{bill}{below}")
    found["history"] = (f"bills/45-1/{bill}/history", f"projets-de-loi/45-1/{bill}/historique")
    found["sources"] = (f"bills/45-1/{bill}/sources", f"projets-de-loi/45-1/{bill}/sources")
    found |= {"votes": ("votes/45-1",) * 2, "vote": (f"votes/45-1/{vote}",) * 2}
    found |= {"members": ("members", "deputes"), "member": (f"members/{slug}", f"deputes/{slug}")}
    found |= {"changes": ("changes", "changements"), "search": ("search?q=budget", "recherche?q=budget")}
    found |= {"follow": ("follow", "suivre"), "data": ("data", "donnees"), "mirror": ("mirror", "miroir")}
    found["survey"] = ("mirror/disagreements/45-1", "miroir/desaccords/45-1")
    found["session"] = ("sessions/45-1", "sessions/45-1")
    return {name: (f"/en/{en}", f"/fr/{fr}") for name, (en, fr) in found.items()}
