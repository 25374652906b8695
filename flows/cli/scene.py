"""The verb `scene`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.shared.grouping import with_groups
from flows.cli.shared.groups import GridOptions, ScratchOptions, compute_of
from flows.cli.shared.options import (
    AllowHost,
    AllowMixed,
    Device,
    Json,
    Model,
    Out,
    Threads,
)
from flows.cli.shared.text import other_files, place, plain, share
from flows.config import Access, SceneConfig

if TYPE_CHECKING:
    from deepsalt.mapping import SceneReport

app = typer.Typer()


@app.command(epilog="Example: `deepsalt scene ENMAP01-____L2A-DT... --out store`")
@with_groups
def scene(
    item: Annotated[str, typer.Argument(help="STAC Item file, or a product's folder or file.")],
    out: Out,
    *,
    model: Model = None,
    grid: GridOptions,
    threads: Threads = None,
    device: Device = "cpu",
    files: ScratchOptions,
    allow_host: AllowHost = None,
    allow_mixed: AllowMixed = False,
    scale: Annotated[
        float | None,
        typer.Option(help="Reflectance per stored value, for cubes that do not state it."),
    ] = None,
    nodata: Annotated[
        float | None, typer.Option(help="Nodata value, for cubes that do not state it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Map one scene on its own grid; `deepsalt mosaic build` puts it into the mosaic."""
    from deepsalt.access import reach_of
    from deepsalt.store import Store as OpenStore
    from deepsalt.store.store import RECORD
    from flows.progress import bars
    from flows.publication import link_scene
    from flows.run.selection import load_scene
    from flows.run.single_scene import map_one

    config = SceneConfig(
        model=model and model.absolute(),
        grid=grid.grid(),
        compute=compute_of(None, None, threads=threads, device=device),
        scratch=files.space(),
        access=Access.of(reach_of(item, allow_host or ())),
        allow_mixed=allow_mixed,
    )
    found = load_scene(item, scale=scale, nodata=nodata)
    if said := other_files(out, RECORD):
        typer.echo(said, err=True)
    with bars() as progress:
        result = map_one(found, out, config, progress)
    link_scene(OpenStore.open(out), found, result.product)
    if as_json:
        typer.echo(json.dumps(asdict(result)))
        return
    typer.echo(scene_line(result))
    if result.product:
        typer.echo(f"{'next':<11}  `deepsalt mosaic build {place(out)}` puts it into the mosaic")


def scene_line(scene: "SceneReport") -> str:
    """Return one line on a scene."""
    name = plain(scene.scene)
    if scene.reason is not None:
        return f"{scene.status:<11}  {name}: {plain(scene.reason, 2000)}"
    return (
        f"{scene.status:<11}  {name}: {scene.estimated:,} of {scene.pixels:,} pixels "
        f"estimated ({share(scene.estimated, scene.pixels)})"
    )
