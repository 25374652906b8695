"""The verb `ingest`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepsalt.errors import DeepsaltError, UsageError
from flows.cli.shared.options import Json, local
from flows.cli.shared.text import other_files, place, said_once

if TYPE_CHECKING:
    import pystac

app = typer.Typer()


@app.command(epilog="Example: `deepsalt ingest scenes/* --to catalogue`")
def ingest(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Product folders or files, or folders that hold some of these."),
    ],
    to: Annotated[
        Path,
        typer.Option(callback=local, help="Catalogue folder, created if missing."),
    ],
    scale: Annotated[
        float | None,
        typer.Option(help="Reflectance per stored value, for cubes whose file does not state it."),
    ] = None,
    nodata: Annotated[
        float | None,
        typer.Option(help="Nodata value, for cubes whose file does not state it."),
    ] = None,
    checksums: Annotated[
        bool,
        typer.Option(help="Record a checksum of each file, so that a run notices changed files."),
    ] = True,
    as_json: Json = False,
) -> None:
    """Describe products on disk as STAC Items in a catalogue folder.

    Reads EnMAP L2A folders, PRISMA L2D .he5 and GeoTIFF or ENVI cubes with a wavelength and FWHM
    per band. Products stay where they are. Usable products are added; unusable ones are listed with
    the reason (exit code 2 if no product is usable, 3 if some are not).
    """
    from catalog.items import to_item
    from catalog.local import add_items
    from deepsalt.fetch.checksums import with_checksums
    from deepsalt.scenes.base import products_in, read_acquisition
    from flows.progress import bars

    made = []
    refused = {}
    with bars() as progress:
        products = []
        for path in paths:
            if inside := products_in(path):
                progress.note(f"{path} is a folder of products; each is ingested: {len(inside)}")
            products += inside or [path]
        progress.start("scenes", len(products))
        for path in products:
            try:
                found = read_acquisition(path, scale=scale, nodata=nodata)
                made.append((path, to_item(with_checksums(found) if checksums else found)))
            except DeepsaltError as error:
                refused[str(path)] = str(error)
            progress.advance("scenes")

    def refuse(item: "pystac.Item", reason: str) -> None:
        refused[next(str(path) for path, each in made if each is item)] = reason

    if made and (said := other_files(to, "catalog.json")):
        typer.echo(said, err=True)
    report = add_items(to, (item for _, item in made), refuse) if made else None
    added = [item.id for path, item in made if str(path) not in refused]
    if not added and len(refused) == 1:
        raise UsageError(next(iter(refused.values())))
    if as_json:
        typer.echo(json.dumps({"items": added, "refused": refused}))
    else:
        if report is not None:
            typer.echo(f"{report}; catalogue {to}")
        for _, reason in said_once(refused.items()):
            typer.secho(f"refused: {reason}", fg="yellow", err=True)
    if not added:
        raise UsageError(f"none of the {len(refused)} products can be used; see the reasons above")
    if not as_json:
        typer.echo(
            f"next: `deepsalt search --catalogue {place(to)}` lists them, "
            f"`deepsalt run --catalogue {place(to)} --out STORE` maps them"
        )
    if refused:
        raise typer.Exit(3)
