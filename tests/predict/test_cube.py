"""Prediction of chunks, spectra and cubes."""

import pickle

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsalt.errors import FormatError, ModelError
from deepsalt.layers import SCENE_LAYERS
from deepsalt.model.load import model_ref
from deepsalt.predict.cube import RESULT, predict_chunk, predict_cube, predict_spectra
from deepsalt.spectral.bands import sensor_bands
from deepsalt.types import REJECTING, ModelRef, QualityFlag
from tests.model.students import soils, write_tiny

BANDS = sensor_bands("enmap")
N = len(BANDS)
SCALING = {"bands": BANDS, "gain": (1e-4,) * N, "offset": (0.0,) * N, "nodata": -32768.0}


@pytest.fixture(scope="module")
def ref(tmp_path_factory) -> ModelRef:
    return model_ref(write_tiny(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    spectra = soils(20 * 24, BANDS.centers_nm)
    return np.round(spectra.T.reshape(N, 20, 24) / 1e-4).astype(np.int16)


@pytest.fixture
def quality_flags() -> np.ndarray:
    flags = np.zeros((20, 24), dtype=np.uint16)
    flags[:4] = int(QualityFlag.CLOUD)
    flags[6, 6] = int(QualityFlag.HAZE)
    return flags


def cube(
    pixels: np.ndarray, quality_flags: np.ndarray, chunks: tuple[int, int] = (8, 9)
) -> xr.Dataset:
    height, width = quality_flags.shape
    on_band = {
        "wavelength": list(BANDS.centers_nm),
        "fwhm": list(BANDS.fwhm_nm),
        "gain": [1e-4] * N,
        "offset": [0.0] * N,
        "usable": list(BANDS.usable),
    }
    dataset = xr.Dataset(
        {
            "dn": (("band", "y", "x"), pixels, {"nodata": -32768}),
            "quality": (("y", "x"), np.zeros_like(quality_flags)),
            "quality_flags": (("y", "x"), quality_flags),
        },
        coords={
            "band": list(BANDS.names),
            **{name: ("band", values) for name, values in on_band.items()},
            "y": 100.0 - 30.0 * np.arange(height),
            "x": 30.0 * np.arange(width),
            "spatial_ref": 0,
        },
        attrs={"scene_id": "a scene"},
    )
    for name in ("dn", "quality", "quality_flags"):
        sizes = {"band": N, "y": chunks[0], "x": chunks[1]}
        dataset[name] = dataset[name].chunk({dim: sizes[dim] for dim in dataset[name].dims})
    return dataset


def test_rejected_pixels_have_no_estimate_and_all_others_have_one(pixels, quality_flags, ref):
    result = predict_chunk(pixels, quality_flags, ref=ref, **SCALING)
    rejected = (quality_flags & int(REJECTING)) > 0
    assert np.array_equal(np.isnan(result["salinity"]), rejected)


def test_quality_flags_keeps_what_it_had(pixels, quality_flags, ref):
    result = predict_chunk(pixels, quality_flags, ref=ref, **SCALING)
    assert ((result["quality_flags"] & quality_flags) == quality_flags).all()
    assert (result["quality_flags"][:4] == int(QualityFlag.CLOUD)).all()


def test_a_pixel_that_cannot_be_completed_becomes_defective(pixels, quality_flags, ref):
    lost = pixels.copy()
    lost[np.array(BANDS.centers_nm) > 1900, 10, 10] = -32768
    result = predict_chunk(lost, quality_flags, ref=ref, **SCALING)[10, 10]
    assert np.isnan(result["salinity"])
    assert result["quality_flags"] == int(QualityFlag.DEFECTIVE)


def test_masking_others_does_not_change_a_pixel(pixels, quality_flags, ref):
    some = predict_chunk(pixels, quality_flags, ref=ref, **SCALING)
    every = predict_chunk(pixels, np.zeros_like(quality_flags), ref=ref, **SCALING)
    assert np.array_equal(some["salinity"][4:], every["salinity"][4:])


def test_a_chunk_without_a_pixel_to_estimate_is_returned(pixels, ref):
    clouds = np.full((20, 24), int(QualityFlag.CLOUD), dtype=np.uint16)
    assert np.isnan(predict_chunk(pixels, clouds, ref=ref, **SCALING)["salinity"]).all()


@given(st.integers(1, 20), st.integers(1, 24))
@settings(max_examples=6)
def test_a_cube_gives_the_same_bits_however_it_is_chunked(pixels_, height, width):
    values, flags, reference = pixels_
    whole = predict_chunk(values, flags, ref=reference, **SCALING)
    layers = predict_cube(cube(values, flags, (height, width)), reference).compute(
        scheduler="synchronous"
    )
    for name in RESULT.names:
        found = layers[name].transpose("y", "x", ...)
        np.testing.assert_array_equal(found.values, whole[name])


@pytest.fixture(scope="module")
def pixels_(pixels, ref):
    return pixels[:, :, :], np.zeros((20, 24), dtype=np.uint16), ref


def test_threads_and_one_thread_agree(pixels, quality_flags, ref):
    layers = predict_cube(cube(pixels, quality_flags), ref)
    one = layers.compute(scheduler="synchronous")
    assert one.identical(layers.compute(scheduler="threads", num_workers=4))


def test_predicting_a_cube_is_lazy_and_keeps_its_chunks(pixels, quality_flags, ref):
    source = cube(pixels, quality_flags)
    with dask.config.set(scheduler=_never):
        layers = predict_cube(source, ref)
    assert layers.salinity.data.chunks == source.quality_flags.data.chunks


def _never(*_args, **_kwargs):
    raise AssertionError("something was computed")


def test_the_graph_holds_a_reference_and_no_weights(pixels, quality_flags, ref):
    layers = predict_cube(cube(pixels, quality_flags), ref)
    graph = layers.salinity.data.dask
    blocks = [layer for name, layer in graph.layers.items() if "predict_chunk" in name]
    assert blocks
    assert len(pickle.dumps(dict(blocks[0]))) < 200_000
    assert b"torch" not in pickle.dumps(dict(blocks[0]))


def test_layers_are_those_of_a_scene_product_with_their_coordinates(pixels, quality_flags, ref):
    source = cube(pixels, quality_flags)
    layers = predict_cube(source, ref)
    assert {v: str(layers[v].dtype) for v in layers} == {x.name: x.dtype for x in SCENE_LAYERS}
    for name in ("y", "x", "spatial_ref"):
        assert layers[name].identical(source[name])
    assert layers.attrs["scene_id"] == "a scene"


def test_salinity_says_unit_method_depth_and_temperature(pixels, quality_flags, ref):
    attrs = predict_cube(cube(pixels, quality_flags), ref).salinity.attrs
    assert attrs["units"] == "dS m-1"
    assert (attrs["ec_method"], attrs["depth"]) == ("1:2 water extract", "0-5 cm")
    assert attrs["reference_temperature"] == "25 degC"


def test_a_cube_without_quality_flags_is_refused(pixels, quality_flags, ref):
    with pytest.raises(FormatError, match="mark_valid"):
        predict_cube(cube(pixels, quality_flags).drop_vars("quality_flags"), ref)


def test_a_cube_cut_along_band_is_refused(pixels, quality_flags, ref):
    cut = cube(pixels, quality_flags)
    cut["dn"] = cut.dn.chunk({"band": 100})
    with pytest.raises(FormatError, match="along band"):
        predict_cube(cut, ref)


def test_a_cube_without_swir_is_refused_before_anything_is_computed(pixels, quality_flags, ref):
    source = cube(pixels, quality_flags)
    vnir = source.assign_coords(usable=("band", np.array(BANDS.centers_nm) < 1000))
    with pytest.raises(FormatError, match="do not cover"):
        predict_cube(vnir, ref)


def test_a_model_that_vanished_is_refused_when_the_cube_is_predicted(
    pixels, quality_flags, tmp_path
):
    folder = write_tiny(tmp_path / "m", seed=77)
    gone = model_ref(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError):
        predict_cube(cube(pixels, quality_flags), gone)


def test_spectra_and_pixels_are_predicted_alike(pixels, ref):
    rows = pixels.reshape(N, -1).T.astype(np.float32) * np.float32(1e-4)
    table = predict_spectra(rows, BANDS, ref)
    chunk = predict_chunk(pixels, np.zeros((20, 24), np.uint16), ref=ref, **SCALING)
    np.testing.assert_allclose(table["salinity"], chunk["salinity"].ravel(), rtol=2e-3)
