"""The scenes that are mapped: simulated EnMAP products, also in another file layout."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree

import numpy as np
import rasterio

from deepsalt.simulate.enmap import Variant, write_enmap
from deepsalt.simulate.geodesy import utm_grid
from deepsalt.simulate.landscape import Field, GroundTruth, Landscape, Waves
from deepsalt.simulate.scene import Weather
from deepsalt.types import Acquisition

CENTER = (84.0, 40.87)
PIXEL, BAND = "pixel-interleaved, 256 blocks", "band-interleaved, 512 blocks"
LAYOUTS = (PIXEL, BAND)
BLOCK_PX = {PIXEL: 256, BAND: 512}
AS_REAL = tuple(f"{layout}, a third padding, 40 % cloud, half green" for layout in LAYOUTS)
"""The same layouts of a scene as real ones are."""

_TILT_DEG = 15.0  # a square swath leaves a third of a square grid empty
_FRONT = Weather(cloud=0.5, cloud_length_m=40e3)  # 40 % within the swath


class Oasis(Landscape):
    """The same land with plants on half of it."""

    def at(self, longitude: Field, latitude: Field, when: datetime | None = None) -> GroundTruth:
        """Return what lies at geographic positions; see `Landscape`."""
        truth = super().at(longitude, latitude, when)
        field = Waves(np.random.default_rng([self.seed, 6]), 600.0, 20e3, 36)
        planted = field(*self._local(longitude, latitude)) > 0
        free = 0.9 - truth.water - truth.dry
        return replace(truth, green=np.where(planted, free, 0.0).clip(0.0))


def simulate(folder: Path, size_px: int, *, as_real: bool = False) -> Path:
    """Write a scene as the simulator does: pixel-interleaved, 256 blocks.

    As real ones are: turned in its grid, a third without a measurement; 40 % of the rest under the
    decks of a front; half of what is left green.
    """
    return write_enmap(
        folder,
        landscape=(Oasis if as_real else Landscape)(1, *CENTER),
        grid=utm_grid(*CENTER, size_px, size_px),
        start=datetime(2024, 4, 18, tzinfo=UTC),
        seed=1,
        weather=_FRONT if as_real else Weather(),
        variant=Variant(tilt_deg=_TILT_DEG) if as_real else Variant(),
    )


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
