"""A script as a typed caller would write it, with every public name; only checkers read it.

`assert_type` fails where a name is Any or object to a checker.
"""

from typing import assert_type

import xarray as xr

import deepsalt


class Notes:
    """Prints what work notes, and ignores how far it is."""

    def start(self, stage: str, total: int, *, size_bytes: int = 0) -> None:
        """Ignore it."""

    def advance(self, stage: str, units: int = 1, *, size_bytes: int = 0) -> None:
        """Ignore it."""

    def note(self, message: str) -> None:
        """Print it."""
        print(message)

    def listing(self, pages: int, items: int) -> None:
        """Ignore it."""


def map_and_sample(product: str, place: str) -> float:
    """Map a scene, build the mosaic, and sample it."""
    scene = deepsalt.read_acquisition(product)
    assert_type(scene, deepsalt.Acquisition)
    assert_type(scene.bands, deepsalt.BandTable)
    assert_type(scene.grid, deepsalt.PixelGrid)
    grid = deepsalt.MosaicGrid(crs="EPSG:32640")
    ref = deepsalt.model_ref()
    assert_type(ref, deepsalt.ModelRef)
    store = deepsalt.Store.create(place, grid=grid, model=ref.digest)
    assert_type(store, deepsalt.Store)
    limits = deepsalt.Limits(max_age_days=60.0)
    reach = deepsalt.Reach(hosts=frozenset({"data.example.org"}))
    with deepsalt.Context.local(ref, limits=limits, reach=reach, progress=Notes()) as context:
        assert_type(context, deepsalt.Context)
        mapped = deepsalt.map_scene(scene, store, context)
        assert_type(mapped.product, str)
        built = deepsalt.build_mosaic(store, context)
        assert_type(built.estimated, int)
    assert_type(deepsalt.open_product(store, mapped.product), xr.Dataset)
    assert_type(deepsalt.composite(store, [mapped.product], scene.grid), xr.Dataset)
    mosaic = deepsalt.open_mosaic(store, bbox=(59.0, 43.0, 60.0, 44.0))
    assert_type(mosaic, xr.Dataset)
    assert_type(deepsalt.salt_classes(mosaic), xr.DataArray)
    assert_type(deepsalt.ece_classes(mosaic, "usda", convert=(7.5, 0.3)), xr.Dataset)
    assert_type(deepsalt.at_prevalence(mosaic, 0.3, threshold=1.0), xr.Dataset)
    clear = (mosaic.quality_flags & deepsalt.QualityFlag.CLOUD) == 0
    return float(mosaic.salinity.where(clear).mean())


def by_hand(scene: deepsalt.Acquisition, ref: deepsalt.ModelRef, table: str) -> str:
    """Predict a cube and a table."""
    cube = deepsalt.mark_valid(deepsalt.open_scene(scene))
    assert_type(cube, xr.Dataset)
    assert_type(deepsalt.predict_cube(cube, ref), xr.Dataset)
    progress: deepsalt.Progress = Notes()
    report = deepsalt.predict_table(table, "out.csv", sensor="lab", ref=ref, progress=progress)
    assert_type(report.estimated, int)
    return f"{report.estimated} of {report.pixels} with {deepsalt.__version__}"
