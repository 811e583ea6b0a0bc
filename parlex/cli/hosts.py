"""The commands about the hosts of the sources: which are left alone, and a person's word that they answer again."""

from __future__ import annotations

from typing import Annotated

import typer

from parlex.cli.frame import Commands, Json, command, load_settings, note, print_json, working
from parlex.errors import UsageError

hosts = typer.Typer(cls=Commands, help="See which sources are left alone, and end that.")

Host = Annotated[str, typer.Argument(metavar="HOST", help="As parlex hosts shows it: www.parl.ca.")]


@hosts.callback(invoke_without_command=True)
def list_hosts(ctx: typer.Context, as_json: Json = False) -> None:
    """List the sources' hosts, and for how many seconds more each is left alone."""
    if ctx.invoked_subcommand:
        return
    from parlex.fetching import throttle

    with working(load_settings()) as resources:
        for name in resources.hosts:
            found = throttle.pause(resources.redis, name)
            told = {"host": name, "asked_to_wait_seconds": found.blocked, "failing_seconds": found.closed}
            if as_json:
                print_json(told)
            elif found.blocked:
                print(f"{name}: it asked us to wait; {found.blocked:.0f} s are left")
            elif found.closed:
                print(f"{name}: it keeps failing, and is left alone for {found.closed:.0f} s more")
            else:
                print(f"{name}: it may be asked")


@command(hosts, name="lift")
def lift_host(host: Host) -> None:
    """Ask a source again at once, though it asked us to wait or kept failing. What waits for it is due now.

    Example: parlex hosts lift www.parl.ca
    """
    with working(load_settings()) as resources:
        if host not in resources.hosts:
            raise UsageError(f"{host!r} is no host of a source; known: {', '.join(resources.hosts)}")
        lifted = resources.throttle.lift(host)
        due = resources.pipeline.wake()
    note(f"{host} may be asked again, {due} that waited are due" if lifted else f"{host} was not left alone")
