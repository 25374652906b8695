"""The pixels over places: the same numbers and bits as a run sees."""

import numpy as np
import pytest

from deepsalt.cube.load import open_scene
from deepsalt.cube.quality import mark_valid
from deepsalt.grid import to_lonlat
from deepsalt.scenes.base import read_acquisition
from deepsalt.sites.look import BESIDE, look, pixels_at
from deepsalt.types import REJECTING, Acquisition
from tests.flows.conftest import Scenes


@pytest.fixture(params=["west", "prisma"])
def scene(request: pytest.FixtureRequest, scenes: Scenes) -> Acquisition:
    return read_acquisition(getattr(scenes, request.param))


def places(scene: Acquisition, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """Longitude and latitude of the centres of pixels."""
    a, _, left, _, e, upper = scene.grid.transform
    return to_lonlat(scene.grid.crs, left + (columns + 0.5) * a, upper + (rows + 0.5) * e)


def every_seventh(scene: Acquisition) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.meshgrid(
        np.arange(0, scene.grid.height, 7), np.arange(0, scene.grid.width, 7), indexing="ij"
    )
    return rows.ravel(), columns.ravel()


def test_a_place_is_in_the_pixel_that_holds_it(scene: Acquisition) -> None:
    rows, columns = every_seventh(scene)
    found = pixels_at(scene, *places(scene, rows, columns))
    assert np.array_equal(found[0], rows)
    assert np.array_equal(found[1], columns)


def test_pixels_have_the_reflectance_and_the_bits_of_a_run(scene: Acquisition) -> None:
    rows, columns = every_seventh(scene)
    looks = look(scene, *places(scene, rows, columns))
    cube = mark_valid(open_scene(scene)).compute()
    bits = cube.quality_flags.values[rows, columns]
    assert np.array_equal(looks.flags, bits)
    assert np.array_equal(looks.pixels > 0, (bits & np.uint16(REJECTING)) == 0)
    seen = looks.pixels > 0
    assert seen.any()
    assert not seen.all()
    dn = cube.dn.values[:, rows[seen], columns[seen]]
    expected = dn * cube.gain.values[:, None] + cube.offset.values[:, None]
    expected[dn == scene.nodata] = np.nan
    usable = cube.usable.values
    assert np.allclose(looks.reflectance[seen][:, usable], expected[usable].T, equal_nan=True)
    assert np.isnan(looks.reflectance[seen][:, ~usable]).all()
    assert np.isnan(looks.reflectance[~seen]).all()


def test_a_rejected_pixel_says_why(scene: Acquisition) -> None:
    rows, columns = every_seventh(scene)
    looks = look(scene, *places(scene, rows, columns))
    assert np.array_equal(looks.reason == "", looks.pixels > 0)
    words = " ".join(looks.reason.tolist())
    assert "vegetation" in words or "cloud" in words


def test_a_median_of_neighbours_has_their_number_and_their_spread(scene: Acquisition) -> None:
    rows, columns = every_seventh(scene)
    own = look(scene, *places(scene, rows, columns))
    nine = look(scene, *places(scene, rows, columns), window=3)
    seen = nine.pixels > 0
    assert set(nine.pixels[seen].tolist()) <= {5, 6, 7, 8, 9}
    assert (nine.spread[seen] > 0).all()
    assert not (seen & (own.pixels == 0)).any()
    one = int(np.flatnonzero(nine.pixels == 9)[0])
    steps = np.array([-1, 0, 1])
    around = look(
        scene,
        *places(scene, np.repeat(rows[one] + steps, 3), np.tile(columns[one] + steps, 3)),
    )
    assert np.allclose(nine.reflectance[one], np.median(around.reflectance, axis=0), equal_nan=True)


def test_a_place_beside_the_scene_has_no_look(scene: Acquisition) -> None:
    looks = look(scene, np.array([0.0]), np.array([0.0]), window=3)
    assert looks.reason.tolist() == [BESIDE]
    assert looks.pixels.tolist() == [0]
