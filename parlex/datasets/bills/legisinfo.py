"""LEGISinfo, the spine: every bill since 1994 in both languages, a session's list in one request.

How it is asked. How its documents are read: ``legisinfo_list`` and ``legisinfo_detail``.
"""

from __future__ import annotations

from typing import overload

from parlex.datasets.bills.legisinfo_codes import NAME as NAME
from parlex.datasets.bills.legisinfo_detail import parse_bill as parse_bill
from parlex.datasets.bills.legisinfo_list import SessionList as SessionList
from parlex.datasets.bills.legisinfo_list import parse_list as parse_list
from parlex.datasets.bills.legisinfo_list import session_of as session_of
from parlex.fetching.document import Document
from parlex.fetching.http import Client, Tally
from parlex.parliament import BillKey, SessionId


class Legisinfo:
    """LEGISinfo by network. Each method raises what ``Client.get`` raises."""

    name = NAME

    def __init__(self, client: Client, base_url: str) -> None:
        self._client = client
        self._base_url = base_url

    def list_url(self, session: SessionId | None) -> str:
        """The list of a session; None is the current one, which LEGISinfo picks itself."""
        query = f"?parlsession={session}" if session else ""
        return f"{self._base_url}/legisinfo/en/bills/json{query}"

    def bill_url(self, key: BillKey) -> str:
        return f"{self._base_url}/legisinfo/en/bill/{key.session}/{key.number.lower()}/json"

    @overload
    def list_bills(self, session: SessionId | None, tally: Tally, *, background: bool = False) -> Document: ...

    @overload
    def list_bills(
        self,
        session: SessionId | None,
        tally: Tally,
        *,
        etag: str | None,
        last_modified: str | None,
        background: bool = False,
    ) -> Document | None: ...

    def list_bills(
        self,
        session: SessionId | None,
        tally: Tally,
        *,
        etag: str | None = None,
        last_modified: str | None = None,
        background: bool = False,
    ) -> Document | None:
        """The list of a session, in one request; None if it is not modified since the validators given."""
        url = self.list_url(session)
        return self._client.get(url, tally=tally, etag=etag, last_modified=last_modified, background=background)

    def fetch_bill(
        self,
        key: BillKey,
        tally: Tally,
        *,
        etag: str | None = None,
        last_modified: str | None = None,
        background: bool = False,
    ) -> Document | None:
        """A bill's detail; None if it is not modified since the validators given."""
        url = self.bill_url(key)
        return self._client.get(url, tally=tally, etag=etag, last_modified=last_modified, background=background)
