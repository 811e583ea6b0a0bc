"""What a server is made of."""

from __future__ import annotations

import subprocess
import sys


def test_a_server_loads_nothing_that_only_others_need() -> None:
    """It runs beside the workers on small machines."""
    heavy = ["alembic", "celery", "graphql", "kombu", "obstore"]
    script = f"import sys, parlex.web.server\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
