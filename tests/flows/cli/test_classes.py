"""The verb `mosaic classes` on SIMULATED stores."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import deepsalt as library
from deepsalt.errors import DeepsaltError, FormatError, UsageError
from tests.flows.conftest import deepsalt
from tests.store.builders import acquisition, add_product, build, layers, make_store, scene_grid


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose mosaic is of EC 1:5."""
    place = tmp_path_factory.mktemp("classes") / "store"
    product = layers(scene_grid(), seed=4)
    product["salinity"].attrs["ec_method"] = "EC 1:5"
    store = make_store(place)
    add_product(store, acquisition("a"), product)
    build(store)
    return place


def test_what_is_written_is_what_the_library_says(five: Path, tmp_path: Path) -> None:
    out = tmp_path / "usda.zarr"
    result = deepsalt("mosaic", "classes", five, out, "--convert", "7.5,0.3", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    expected = library.ece_classes(library.open_mosaic(five), "usda", convert=(7.5, 0.3)).load()
    with xr.open_zarr(out, decode_coords="all", mask_and_scale=True) as written:
        np.testing.assert_array_equal(written.ece_class, expected.ece_class)
        np.testing.assert_allclose(written.p_ece_above, expected.p_ece_above, atol=6e-5)
        assert written.ece_class.attrs["scheme"] == "usda"
    assert told["converted_from"] == "EC 1:5"
    assert told["limits"] == [4.0, 8.0, 16.0]
    (period,) = told["periods"]
    assert sum(period["pixels"].values()) == (expected.ece_class != 255).sum()
    assert period["pixels"]["strongly_saline"] == (expected.ece_class == 4).sum()


def test_the_terminal_has_shares_in_words(five: Path, tmp_path: Path) -> None:
    result = deepsalt("mosaic", "classes", five, tmp_path / "c.zarr", "--convert", "7.5,0.3")
    assert result.exit_code == 0, result.output
    assert "the scenes are SIMULATED" in result.output
    assert "very slightly saline or less" in result.output
    assert "cannot be told" in result.output


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ((), UsageError, "give a conversion for your soils"),
        (("--convert", "7.5"), UsageError, "--convert is FACTOR,SD_LOG"),
        (("--scheme", "fao", "--convert", "7.5,0.3"), UsageError, "give one of usda"),
    ],
)
def test_what_cannot_be_classed_is_a_sentence_and_writes_nothing(
    options: tuple[str, ...],
    error: type[DeepsaltError],
    said: str,
    five: Path,
    tmp_path: Path,
) -> None:
    result = deepsalt("mosaic", "classes", five, tmp_path / "c.zarr", *options)
    assert isinstance(result.exception, error)
    assert said in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_a_mosaic_of_the_shipped_model_is_refused(mapped: Path, tmp_path: Path) -> None:
    result = deepsalt("mosaic", "classes", mapped, tmp_path / "c.zarr", "--convert", "7.5,0.3")
    assert isinstance(result.exception, UsageError)
    assert "'mixed or unknown'" in str(result.exception)


def test_what_exists_is_not_overwritten(five: Path, tmp_path: Path) -> None:
    (tmp_path / "c.zarr").mkdir()
    result = deepsalt("mosaic", "classes", five, tmp_path / "c.zarr", "--convert", "7.5,0.3")
    assert isinstance(result.exception, FormatError)
    assert "exists; remove it" in str(result.exception)
