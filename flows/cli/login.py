"""The verb `login`."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from deepsalt.errors import LoginError, UsageError
from flows.cli.shared.options import Json
from flows.cli.shared.text import plain

if TYPE_CHECKING:
    from deepsalt.access.login import Profile, Secret

app = typer.Typer()

Url = Annotated[
    str | None,
    typer.Option("--url", help="A file to try. Its first bytes are fetched, and nothing is kept."),
]


@app.command(epilog="Example: `deepsalt login dlr`")
def login(
    profile: Annotated[
        str, typer.Argument(help="Name of the profile; `deepsalt access check` lists them.")
    ],
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Try the login of an archive once, and say what works and until when.

    A missing secret is asked for at a terminal, and kept in secrets.toml of your configuration
    folder if it works. Elsewhere the variables to set are named.

    Exit code 0: logged in; 1: no answer; 2: no such profile, or a secret that is missing or
    refused.
    """
    from deepsalt.access.login import keep_secret, profile_named, secret_of, try_login

    found = profile_named(profile)
    if found.kind == "s3":
        raise UsageError(
            f"profile {profile} has no login, buckets read AWS's own variables and files; try a "
            "file by `deepsalt access check --url s3://bucket/file`"
        )
    if url is not None and not found.covers(url):
        raise UsageError(f"--url is not on a host of profile {profile}: {', '.join(found.hosts)}")
    known = secret_of(found)
    secret = known or _typed(found)
    grant = try_login(found, secret, url)
    kept = None if known else keep_secret(found, secret)
    until = None if grant.until is None else grant.until.isoformat()
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "profile": profile,
                    "source": secret.source,
                    "proven": grant.is_proven,
                    "until": until,
                }
            )
        )
        return
    typer.echo(
        f"profile {profile}: {'the login works' if grant.is_proven else 'there is a secret'}, from "
        f"{secret.source}; it lasts until {until or 'its server ends it'}"
    )
    if kept is not None:
        typer.echo(f"it is kept in {kept}, which only you may read")
    if not grant.is_proven:
        typer.echo("nothing was asked; give --url with a file of its hosts to try it")
    typer.echo("next: `deepsalt access check --url URL` with a file of the archive")


def _typed(profile: "Profile") -> "Secret":
    """Return what the user types at a terminal.

    Raises
    ------
    LoginError
        There is no terminal.
    """
    from deepsalt.access.login import Secret, parts_needed, what_to_set

    if not is_terminal():
        raise LoginError(f"profile {profile.name} has no secret; {what_to_set(profile)}")
    typer.echo(f"{profile.name}: {plain(profile.title)} {plain(profile.account)}", err=True)
    typed = {
        key: typer.prompt(key, hide_input=key != "user", err=True) for key in parts_needed(profile)
    }
    return Secret("what you typed", **typed)


def is_terminal() -> bool:
    """Return whether a person is there to be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
