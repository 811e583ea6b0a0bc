"""An offline stand-in for LEGISinfo and OpenParliament, with a small sample of real bills.

    with Sandbox() as sandbox:
        ...  # ask sandbox.legisinfo_url and sandbox.openparliament_url
        sandbox.advance()  # the next day on which some bill changes
        sandbox.fault("rate_limit", host="legisinfo", first=2, retry_after=1)

It behaves as the two sites were seen to behave, time zone error and all. It shares no code with the rest of parlex.
"""

from parlex.local.sandbox.server import Sandbox, serve

__all__ = ["Sandbox", "serve"]
