"""The scenes that are mapped: simulated EnMAP products, also in another file layout."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree

import rasterio

from deepsalt.simulate.enmap import write_enmap
from deepsalt.simulate.geodesy import utm_grid
from deepsalt.simulate.landscape import Landscape
from deepsalt.types import Acquisition

CENTER = (84.0, 40.87)
PIXEL, BAND = "pixel-interleaved, 256 blocks", "band-interleaved, 512 blocks"
LAYOUTS = (PIXEL, BAND)
BLOCK_PX = {PIXEL: 256, BAND: 512}


def simulate(folder: Path, size_px: int) -> Path:
    """Write a scene as the simulator does: pixel-interleaved, 256 blocks."""
    grid = utm_grid(*CENTER, size_px, size_px)
    start = datetime(2024, 4, 18, tzinfo=UTC)
    return write_enmap(folder, landscape=Landscape(1, *CENTER), grid=grid, start=start, seed=1)


def band_interleaved(scene: Path, folder: Path) -> Path:
    """Write the same product with its two cubes band-interleaved in 512 blocks."""
    copy = copytree(scene, folder / scene.name)
    layout = {"interleave": "band", "tiled": True, "compress": "deflate", "zlevel": 1}
    layout |= {"blockxsize": BLOCK_PX[BAND], "blockysize": BLOCK_PX[BAND]}
    for layer, predictor in (("SPECTRAL_IMAGE", 2), ("QL_PIXELMASK", 1)):
        name = f"{scene.name}-{layer}.TIF"
        with rasterio.open(scene / name) as source:
            profile = {**source.profile, **layout, "predictor": predictor}
            pixels = source.read()
        with rasterio.open(copy / name, "w", **profile) as target:
            target.write(pixels)
    return copy


def on_server(acquisition: Acquisition, root: Path, url: str) -> Acquisition:
    """Return the scene with its files on a server whose root is this folder."""
    return replace(
        acquisition,
        assets=tuple(
            replace(asset, href=f"{url}/{Path(asset.href).relative_to(root).as_posix()}")
            for asset in acquisition.assets
        ),
    )
