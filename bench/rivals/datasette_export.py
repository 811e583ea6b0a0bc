"""Datasette on an export of the mirror: the file as it is, and a query with a name for what its pages do not have.

``python datasette_export.py PORT FILE``. As ``datasette serve --immutable FILE`` would serve it, but without a line in
a log for each request, which the others write neither.
"""

from __future__ import annotations

import sys

import uvicorn
from datasette.app import Datasette

# The page of a row has neither what hangs on it nor any JSON but as text: hence SQL.
STAGES = """
    (select json_group_array(json_object('chamber', chamber, 'stage', stage, 'state', state, 'completed_on',
                                         completed_on, 'committee', committee, 'sittings', sittings))
     from (select * from bill_stages where key = bills.key order by position)) as stages
"""
COLUMNS = """
    parliament, session, number, title_en, title_fr, short_title_en, short_title_fr, status_code, status_en, status_fr,
    bill_type, chamber, is_government, is_pro_forma, sponsor_person_id, sponsor_name, sponsor_slug, introduced_on,
    house_first_reading_on, house_second_reading_on, house_third_reading_on, senate_first_reading_on,
    senate_second_reading_on, senate_third_reading_on, royal_assent_on, statute_year, statute_chapter,
    reinstated_from, reinstated_as, legisinfo_id, withdrawn, first_seen_at, last_changed_at
"""
BILL = f"select {COLUMNS}, text_url, summary_en, summary_fr, flags, {STAGES} from bills where key = :key"
BILLS = f"""
    select {COLUMNS} from bills where parliament = :parliament and session = :session
    order by substr(number, 1, 1), cast(substr(number, 3) as integer), number limit :limit offset :offset
"""

if __name__ == "__main__":
    queries = {"bill": {"sql": BILL}, "list": {"sql": BILLS}}
    served = Datasette(immutables=[sys.argv[2]], metadata={"databases": {"parlex": {"queries": queries}}})
    uvicorn.run(served.app(), port=int(sys.argv[1]), log_level="warning", access_log=False)
