"""A mirror that has been at work for long: copies of one session's rows under sessions that never were, in SQL."""

from __future__ import annotations

from bench.mirror import Servers

# (table, its session's rows, what a copy has instead). ``g`` counts the copies; parliaments from 100 on never were.
_PLACE = "(100 + g / 9)::text || '-' || (1 + g % 9)::text"
_KEY = f"{_PLACE} || ' ' || split_part(key, ' ', 2)"
_BILL = {"parliament": "100 + g / 9", "session": "1 + g % 9"}
_SHA256 = "md5(sha256 || g) || md5(g || sha256)"
_OF_BILL = "parliament = {parliament} AND session = {session}"
_OF_KEY = "key LIKE '{parliament}-{session} %'"
_COPIES = (
    ("bills", _OF_BILL, _BILL),
    ("bill_stages", _OF_BILL, _BILL),
    ("changes", _OF_KEY, {"key": _KEY, "seq": "(SELECT max(seq) FROM changes) + row_number() OVER ()"}),
    ("documents", "sha256 IN (SELECT sha256 FROM latest_documents WHERE {of_key})", {"sha256": _SHA256, "body": "'x'"}),
    ("latest_documents", _OF_KEY, {"key": _KEY, "sha256": _SHA256}),
    ("document_fetches", _OF_KEY + " AND kind = 'detail'", {"key": _KEY, "sha256": _SHA256}),
    ("listings", _OF_KEY, {"key": _KEY, "scope": _PLACE}),
)


def fill(servers: Servers, session: str, size: int) -> int:
    """Copy a session until the mirror holds about ``size`` bills; how many it holds then."""
    parliament, number = session.split("-")
    whose = {"parliament": parliament, "session": number}
    whose["of_key"] = _OF_KEY.format(**whose)
    one = servers.rows(f"SELECT count(*) FROM bills WHERE {_OF_BILL.format(**whose)}")[0][0]
    held = servers.rows("SELECT count(*) FROM bills")[0][0]
    first, last = held // one, round(size / one) - 1
    statements = ["SET LOCAL session_replication_role = replica"]  # no foreign keys to check
    for table, where, changes in _COPIES if last >= first else ():
        columns = _columns(servers, table)
        values = ", ".join(changes.get(name, name) for name in columns)
        statements.append(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} "
            f"FROM {table}, generate_series({first}, {last}) g WHERE {where.format(**whose)}"
        )
    servers.execute(*statements)
    servers.execute("UPDATE counters SET value = (SELECT max(seq) FROM changes) WHERE name = 'changes'")
    servers.vacuum()
    return int(servers.rows("SELECT count(*) FROM bills")[0][0])


def _columns(servers: Servers, table: str) -> list[str]:
    query = (
        "SELECT quote_ident(column_name) FROM information_schema.columns "
        "WHERE table_name = :table AND is_identity = 'NO' AND is_generated = 'NEVER' AND table_schema = 'public' "
        "ORDER BY ordinal_position"
    )
    return [name for (name,) in servers.rows(query, table=table)]
