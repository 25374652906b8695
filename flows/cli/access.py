"""The verb `access`."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import typer

from deepsalt.errors import DeepsaltError, UsageError
from flows.cli.login import Url
from flows.cli.shared.extras import Verbs
from flows.cli.shared.options import Json
from flows.cli.shared.text import plain, size

if TYPE_CHECKING:
    from deepsalt.access.login import Profile
    from deepsalt.fetch import Probe

app = typer.Typer(cls=Verbs)


@app.callback()
def _access() -> None:
    """Say which archives can be fetched from, and with what."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of a profile.

    Parameters
    ----------
    profile, kind, title
        Which it is.
    secret
        Where its secret comes from; None if there is none.
    to_do
        What to do to have one.
    problem
        Why what there is cannot be used.
    tried
        What was tried live.
    hosts
        What it opens.
    """

    profile: str
    kind: str
    title: str
    secret: str | None
    to_do: str | None
    problem: str | None
    tried: str
    hosts: tuple[str, ...]


@app.command(
    epilog="Example: `deepsalt access check --url "
    "https://download.geoservice.dlr.de/ENMAP/files/scene.TIF`"
)
def check(url: Url = None, as_json: Json = False) -> None:
    """List the profiles and where their secrets come from; with --url fetch a file's first bytes.

    A file that comes from a server elsewhere is recorded as tried live, with date and host.

    Exit code 0: done; 1: the file cannot be fetched; 2: its login is missing or fails, or a file
    of secrets may be read by others.
    """
    from deepsalt.access.login import profiles

    known = profiles()
    fetched = None if url is None else _fetched(url, known)
    rows = [_row(profile) for profile in known]
    if as_json:
        told = None if fetched is None else asdict(fetched)
        typer.echo(json.dumps({"profiles": [asdict(row) for row in rows], "url": told}))
    else:
        typer.echo("\n".join(_row_line(row) for row in rows))
        if fetched is not None:
            typer.echo(_fetched_line(fetched))
    if any(row.problem for row in rows):
        raise typer.Exit(2)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of a URL.

    Parameters
    ----------
    profile
        Whose login was used; None if none was.
    recorded
        Whether that is recorded as tried live.
    probe
        What came.
    """

    profile: str | None
    recorded: bool
    probe: "Probe"


def _fetched(url: str, known: Sequence["Profile"]) -> Fetched:
    """Fetch the first bytes of a file, and record that it works."""
    from deepsalt.access import is_remote, reach_of
    from deepsalt.access.login import note_success, profile_for
    from deepsalt.fetch import probe

    if not is_remote(url):
        raise UsageError(f"--url needs the address of a file on a server; found {plain(url)!r}")
    found = probe(url, reach_of(url))
    profile = profile_for(url, [_s3_for(each, url) for each in known])
    recorded = profile is not None and note_success(profile.name, url)
    return Fetched(None if profile is None else profile.name, recorded, found)


def _s3_for(profile: "Profile", url: str) -> "Profile":
    """Return a profile as it is; of buckets, as one that covers the URL's."""
    if profile.kind != "s3" or not url.lower().startswith("s3://"):
        return profile
    from deepsalt.access.login.profiles import origin_of

    return replace(profile, hosts=(origin_of(url),))


def _row(profile: "Profile") -> Row:
    from deepsalt.access.login import secret_of, tried, what_to_set
    from deepsalt.objects.connection.credentials import has_aws_keys

    source = to_do = problem = None
    try:
        if profile.kind == "s3":
            source = "AWS's variables or files" if has_aws_keys() else None
            to_do = None if source else "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        else:
            secret = secret_of(profile)
            source = None if secret is None else secret.source
            to_do = None if secret else what_to_set(profile)
    except DeepsaltError as error:
        problem = str(error)
    return Row(
        profile.name,
        profile.kind,
        profile.title,
        source,
        to_do,
        problem,
        tried(profile),
        profile.hosts,
    )


def _row_line(row: Row) -> str:
    told = f"secret from {row.secret}" if row.secret else f"no secret; {row.to_do}"
    return f"{row.profile:<11} {row.tried}; {row.problem or told}"


def _fetched_line(fetched: Fetched) -> str:
    probe = fetched.probe
    way = f"by profile {fetched.profile}" if fetched.profile else "without a profile"
    parts = "in parts" if probe.ranges else "only whole"
    kept = "; recorded as tried live" if fetched.recorded else ""
    return (
        f"works: {size(probe.first_bytes)} of {size(probe.size_bytes)} came in "
        f"{probe.seconds:.1f} s {way}; its server sends files {parts}{kept}"
    )
