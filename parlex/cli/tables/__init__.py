"""How the answers of ``parlex`` look to a person: tables that fit a terminal and are readable without colour.

What other programs print, as ``parlex shell``, is named here.
"""

from parlex.cli.tables.layout import console
from parlex.cli.tables.runs import run

__all__ = ["console", "run"]
