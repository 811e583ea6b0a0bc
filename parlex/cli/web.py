"""The commands about the server: what is held, by HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from parlex.cli.frame import RUN, Commands, command, looking

commands = typer.Typer(cls=Commands)


@command(commands, RUN)
def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0 for whoever can reach this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="0 takes a free port.")] = 8000,
) -> None:
    """Serve what is held by HTTP, until Ctrl-C: REST under /api/v1, GraphQL at /graphql, documents at /docs.

    Example: parlex serve --port 8080
    """
    from parlex.web import server

    with looking() as resources:
        server.serve(resources, host=host, port=port)
