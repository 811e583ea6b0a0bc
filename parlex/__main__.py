"""``python -m parlex``: the same as the command ``parlex``."""

from parlex.cli.app import main

main()
