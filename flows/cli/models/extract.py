"""The verb `extract`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepsalt.errors import FormatError
from flows.cli.shared.grouping import with_groups
from flows.cli.shared.groups import Filters, HostOptions, ScratchOptions, compute_of, profile_of
from flows.cli.shared.options import (
    Catalogue,
    ClusterKind,
    ClusterProfileFile,
    Json,
    Memory,
    Scheduler,
    Tls,
    Workers,
    local,
)
from flows.cli.shared.sample_options import AnyDate, LabelOptions, PlaceOptions, Samples, rules_of
from flows.cli.shared.text import place, plain, said_once

if TYPE_CHECKING:
    from flows.run.extract import Extracted

app = typer.Typer()

OutTable = Annotated[
    Path,
    typer.Option(
        "--out", callback=local, help="Table to write, CSV or Parquet: a row per pixel and scene."
    ),
]
Days = Annotated[
    float, typer.Option("--days", help="Greatest number of days between sample and scene, to 365.")
]
WindowPx = Annotated[
    int, typer.Option("--window", help="1: the pixel of the sample; 3: the median of 3 x 3.")
]
AllLooks = Annotated[
    bool,
    typer.Option(
        "--all-looks",
        help="A row for each scene that shows a sample. Default: the best one, by flags, days and "
        "clouds.",
    ),
]
AtOnce = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, help="Scenes that a worker reads at a time. Default: one per core."
    ),
]


@app.command(
    "extract",
    epilog="Example: `deepsalt extract samples.csv --catalogue catalogue --out sites.csv`",
)
@with_groups
def extract(
    samples: Samples,
    catalogue: Catalogue,
    out: OutTable,
    *,
    filters: Filters,
    days: Days = 30.0,
    any_date: AnyDate = False,
    window: WindowPx = 1,
    all_looks: AllLooks = False,
    labels: LabelOptions,
    places: PlaceOptions,
    threads: AtOnce = None,
    workers: Workers = None,
    memory: Memory = None,
    scheduler: Scheduler = None,
    cluster: ClusterKind = None,
    cluster_profile: ClusterProfileFile = None,
    tls: Tls = False,
    hosts: HostOptions,
    files: ScratchOptions,
    as_json: Json = False,
) -> None:
    """Match field samples with scenes: a table of spectra to train on.

    Takes samples of the surface layer only, and pixels that a run would map. Samples of one method
    that share a pixel are one row. Beside the table it writes what was left out and why, and a map.
    """
    from deepsalt.spectral.table import check_kind
    from flows.progress import bars
    from flows.run.extract import Matching, Resources
    from flows.run.extract import extract as extract_sites

    check_kind(out)
    if not out.absolute().parent.is_dir():
        raise FormatError(f"the folder of {out} does not exist; create it first")
    if out.exists() and samples.exists() and out.samefile(samples):
        raise FormatError(f"{out} is the table of samples; write the sites to another file")
    selection = filters.of(catalogue)
    rules = rules_of(labels, places)
    compute = compute_of(
        workers,
        scheduler,
        threads=threads,
        memory=memory,
        tls=tls,
        cluster=profile_of(cluster, cluster_profile),
    )
    resources = Resources(compute, files.space(), hosts.politeness())
    matching = Matching(None if any_date else days, window, all_looks)
    with bars() as progress:
        found = extract_sites(
            samples,
            selection,
            rules,
            matching,
            resources=resources,
            progress=progress,
        )
    write_sites(found, out)
    if as_json:
        typer.echo(json.dumps(_told(found)))
    else:
        typer.echo("\n".join(_lines(found, out)))
    if not len(found.sites.table):
        raise typer.Exit(1)
    if found.failed:
        raise typer.Exit(3)


def _beside(out: Path, suffix: str) -> Path:
    """Return the path of a file that is written beside a table."""
    stem = out.name
    for ending in (".csv.gz", ".csv", ".parquet", ".pq"):
        if stem.lower().endswith(ending):
            stem = stem[: -len(ending)]
            break
    return out.with_name(stem + suffix)


def write_sites(found: "Extracted", out: Path) -> None:
    """Write the table, if it has rows, and beside it what was left out and a map.

    Raises
    ------
    FormatError
        A table cannot be written there.
    """
    import pandas as pd

    from deepsalt.objects.disk import storing
    from deepsalt.plot.sites import draw_sites
    from deepsalt.spectral.table import write_table

    known, sites = found.samples, found.sites
    if len(sites.table):
        write_table(sites.table, out)
    columns = ["sample_id", "scene_id", "reason"]
    write_table(pd.DataFrame(sites.left_out, columns=columns), _beside(out, ".left-out.csv"))
    simulated = bool(sites.table["simulated"].any())
    picture = draw_sites(known.lon, known.lat, known.ec, sites.matched, simulated=simulated)
    with storing(out):
        _beside(out, ".png").write_bytes(picture)


def _told(found: "Extracted") -> dict[str, object]:
    """Return the outcome as JSON."""
    return {
        "samples": found.sites.samples,
        "matched": int(found.sites.matched.sum()),
        "rows": len(found.sites.table),
        "scenes": {"found": found.scenes[0], "read": found.scenes[1]},
        "unmatched": found.sites.unmatched,
        "failed": found.failed,
    }


def _lines(found: "Extracted", out: Path) -> list[str]:
    """Return the table of what was matched, and the suggested next step."""
    sites = found.sites
    matched = int(sites.matched.sum())
    rows = [("matched", matched), *((f"  {why}", n) for why, n in sites.unmatched.items())]
    width = max(len(plain(name)) for name, _ in rows) + 2
    lines = [
        f"{sites.samples} samples, {found.scenes[0]} scenes, of which {found.scenes[1]} show some",
        *(f"{plain(name):<{width}}{count:>6}" for name, count in rows),
        *(f"scene {key} could not be read: {why}" for key, why in said_once(found.failed.items())),
        f"what was left out and why: {_beside(out, '.left-out.csv')}",
        f"map: {_beside(out, '.png')}",
    ]
    if not len(sites.table):
        kept = f", and {out} is that of before" if out.exists() else ""
        return [*lines, f"no rows, so no table was written{kept}; the reasons say what to change"]
    return [
        *lines,
        f"{len(sites.table)} rows are in {out}",
        f"next: `deepsalt train --satellite {place(out)} --out my-model`",
    ]
