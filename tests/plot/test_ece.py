"""Classes of ECe: which pixel has which, from which limits, and where they are refused."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import deepsalt
from deepsalt import Context, MosaicGrid, Store, read_acquisition
from deepsalt.errors import FormatError, UsageError
from deepsalt.layers import CHANCE, THRESHOLDS_DS_M
from deepsalt.model.load import model_card, model_ref
from deepsalt.plot.ece import SCHEMES, UNTOLD, ece_classes
from deepsalt.plot.salt import LIKELY, NO_CLASS, NO_SIGN, salt_classes
from deepsalt.types import QualityFlag
from tests.made.enmap import write_enmap
from tests.model.students import write_tiny
from tests.store.builders import acquisition, add_product, build, layers, make_store, scene_grid

FIVE = (7.5, 0.3)
"""ECe over EC 1:5, and its error."""
SMALL = MosaicGrid(chunk_px=64, shard_px=128, tile_shards=1)


def made(ec_method: str) -> xr.Dataset:
    """A SIMULATED mosaic of a model that learned from labels of this method."""
    grid = scene_grid(height=20, width=20)
    product = layers(grid, seed=4)
    product["salinity"].attrs["ec_method"] = ec_method
    store = make_store()
    add_product(store, acquisition("a", grid=grid), product)
    build(store)
    return deepsalt.open_mosaic(store)


@pytest.fixture(scope="module")
def ece() -> xr.Dataset:
    return made("ECe")


@pytest.fixture(scope="module")
def five() -> xr.Dataset:
    return made("EC 1:5")


def pixel(
    chances: tuple[float, ...], upper: float = 20.0, flags: int = 0, method: str = "ECe"
) -> xr.Dataset:
    """A pixel of a model with a base rate of 0.1 above each threshold."""
    stated = {
        "thresholds": [*THRESHOLDS_DS_M],
        "base_rate": [0.1] * 4,
        "calibrated": ["yes"] * 4,
    }
    one = ("y", "x")
    return xr.Dataset(
        {
            "salinity": (one, [[min(upper, 1.0)]], {"ec_method": method}),
            "salinity_upper": (one, [[upper]]),
            CHANCE: (("threshold", *one), np.array(chances)[:, None, None], stated),
            "quality_flags": (one, np.array([[flags]], np.uint16)),
        },
        coords={"threshold": [*THRESHOLDS_DS_M]},
    )


@pytest.mark.parametrize(
    ("chances", "upper", "flags", "expected"),
    [
        ((1.0, 1.0, 0.9, 0.5), 20.0, 0, 2),
        ((1.0, 1.0, 0.9, 0.4999), 20.0, 0, 1),
        ((1.0, 1.0, 0.5, 0.0), 1.9, 0, 1),
        ((1.0, 1.0, 0.4999, 0.0), 1.9, 0, UNTOLD),
        ((1.0, 1.0, 0.1, 0.0), 1.9, 0, UNTOLD),
        ((1.0, 0.9, 0.0999, 0.0), 1.9, 0, 0),
        ((0.0, 0.0, 0.0, 0.0), 2.0, 0, UNTOLD),
        ((0.0, 0.0, 0.0, 0.0), 1.9, QualityFlag.HAZE, 0),
        ((1.0, 1.0, 1.0, 1.0), 20.0, QualityFlag.OUT_OF_DOMAIN, UNTOLD),
        ((0.0, 0.0, 0.0, 0.0), 1.9, QualityFlag.OUT_OF_DOMAIN, UNTOLD),
        ((np.nan,) * 4, np.nan, QualityFlag.CLOUD, NO_CLASS),
    ],
)
def test_a_pixel_has_the_class_that_p_and_the_interval_give_it(
    chances: tuple[float, ...], upper: float, flags: int, expected: int
) -> None:
    assert ece_classes(pixel(chances, upper, flags), "usda").ece_class.item() == expected


def test_classes_agree_with_whether_there_is_salt(ece: xr.Dataset) -> None:
    ds = ece.copy()
    ds[CHANCE] = ds[CHANCE].assign_attrs(calibrated=["yes", "yes", "yes", "no"])
    found, salt = ece_classes(ds, "usda").ece_class.values, salt_classes(ds)
    assert salt.attrs["threshold"] == 2.0
    np.testing.assert_array_equal(found == 0, salt == NO_SIGN)
    np.testing.assert_array_equal(found == 1, salt == LIKELY)
    np.testing.assert_array_equal(found == NO_CLASS, salt == NO_CLASS)


def test_a_map_of_ece_keeps_its_probabilities(ece: xr.Dataset) -> None:
    found = ece_classes(ece, "usda").p_ece_above
    assert found.dims == ("period", "limit", "y", "x")
    np.testing.assert_allclose(found, ece[CHANCE].sel(threshold=[2.0, 4.0]), atol=6e-5)


def test_a_conversion_moves_limits_and_classes(five: xr.Dataset) -> None:
    found = ece_classes(five, "usda", convert=FIVE)
    p = found.p_ece_above
    assert p.limit.values.tolist() == [4.0, 8.0, 16.0]
    assert not (np.diff(p.values, axis=1) > 1e-12).any()
    estimated = np.isfinite(five.salinity.values)
    strongly = estimated & (p.sel(limit=16.0).values >= 0.49995)
    np.testing.assert_array_equal(found.ece_class.values == 4, strongly)
    assert strongly.any()


@pytest.mark.parametrize(
    ("scheme", "method", "convert", "meanings"),
    [
        (
            "usda",
            "ECe",
            None,
            {
                0: "nonsaline",
                1: "very_slightly_saline",
                2: "slightly_saline_or_saltier",
            },
        ),
        ("fao-1988", "saturated paste", None, {0: "nonsaline", 2: "moderately_saline_or_saltier"}),
        ("fao-2006", "ECe", None, {0: "nearly_not_salty", 3: "strongly_salty_or_saltier"}),
        (
            "usda",
            "EC 1:5",
            FIVE,
            {1: "very_slightly_saline_or_less", 2: "slightly_saline", 4: "strongly_saline"},
        ),
        (
            "usda",
            "EC 1:2",
            (2.4, 0.3),
            {0: "nonsaline", 3: "moderately_saline_or_saltier"},
        ),
    ],
)
def test_the_outermost_classes_say_what_is_not_told_apart(
    scheme: str,
    method: str,
    convert: tuple[float, float] | None,
    meanings: dict[int, str],
) -> None:
    ds = pixel((0.9, 0.5, 0.2, 0.1), method=method)
    attrs = ece_classes(ds, scheme, convert=convert).ece_class.attrs
    found = dict(zip(attrs["flag_values"].tolist(), attrs["flag_meanings"].split(), strict=True))
    assert found[UNTOLD] == "cannot_be_told"
    del found[UNTOLD]
    assert meanings.items() <= found.items()
    assert (min(found), max(found)) == (min(meanings), max(meanings))


def test_attributes_name_scheme_method_factor_and_its_error(five: xr.Dataset) -> None:
    found = ece_classes(five, "usda", convert=FIVE)
    for layer in found.data_vars.values():
        assert layer.attrs["ec_method"] == "ECe"
        assert layer.attrs["converted_from"] == "EC 1:5"
        assert layer.attrs["conversion_factor"] == 7.5
        assert layer.attrs["conversion_sd_log"] == 0.3
    assert found.ece_class.attrs["scheme"] == "usda"
    assert "Agriculture Handbook 60" in found.ece_class.attrs["references"]
    assert found.attrs["simulated"]


def test_a_map_of_ece_names_no_conversion(ece: xr.Dataset) -> None:
    assert "conversion_factor" not in ece_classes(ece, "usda").ece_class.attrs


@pytest.mark.parametrize(
    ("method", "convert", "limits"),
    [("ECe", None, [2.0, 4.0]), ("1:5 water extract", FIVE, [4.0, 8.0, 16.0])],
    ids=["ECe", "EC 1:5"],
)
def test_what_a_model_maps_has_the_classes_of_its_method(
    method: str, convert: tuple[float, float] | None, limits: list[float], tmp_path: Path
) -> None:
    ref = model_ref(write_tiny(tmp_path / "model", ec_method=method))
    store = Store.create(tmp_path / "store", grid=SMALL, model=ref.digest)
    with Context.local(ref) as context:
        mapped = deepsalt.map_scene(read_acquisition(write_enmap(tmp_path)), store, context)
        deepsalt.build_mosaic(store, context)
    product = deepsalt.open_product(store, mapped.product)
    for ds in (product, deepsalt.open_mosaic(store)):
        found = ece_classes(ds, "usda", convert=convert)
        assert found.p_ece_above.limit.values.tolist() == limits
        told = found.ece_class.values != NO_CLASS
        np.testing.assert_array_equal(told, np.isfinite(ds.salinity.values))
        assert told.any()
        np.testing.assert_array_equal(told, np.isfinite(found.p_ece_above[..., 0, :, :].values))


def test_each_limit_has_its_base_rate(ece: xr.Dataset) -> None:
    commoner = deepsalt.at_prevalence(ece, 0.4, threshold=2.0)
    found = ece_classes(commoner, "fao-2006").p_ece_above.attrs
    assert found["limits"] == [0.75, 2.0, 4.0]
    assert found["base_rate"][1] == pytest.approx(0.4)
    assert found["prevalence"] == "0.4 above 2 dS/m"


@pytest.mark.parametrize("shifted", [False, True], ids=["as opened", "for another share"])
def test_classes_of_a_lazy_mosaic_are_lazy(shifted: bool, ece: xr.Dataset) -> None:
    ds = deepsalt.at_prevalence(ece, 0.4) if shifted else ece
    found = ece_classes(ds, "usda")
    assert found.ece_class.chunks == ds["salinity"].chunks
    xr.testing.assert_equal(found.load(), ece_classes(ds.load(), "usda"))


def test_classes_can_be_written_to_netcdf(five: xr.Dataset, tmp_path: Path) -> None:
    found = ece_classes(five, "usda", convert=FIVE)
    found.to_netcdf(tmp_path / "classes.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "classes.nc") as copy:
        np.testing.assert_array_equal(copy.ece_class, found.ece_class)
        assert copy.ece_class.attrs["flag_meanings"] == found.ece_class.attrs["flag_meanings"]


@pytest.mark.parametrize("convert", [None, FIVE], ids=["as it is", "with a conversion"])
def test_maps_of_the_shipped_model_have_no_classes(convert: tuple[float, float] | None) -> None:
    ds = pixel((0.9, 0.5, 0.2, 0.1), method=model_card(model_ref()).ec_method)
    with pytest.raises(UsageError, match=r"is not known \('mixed or unknown'\)"):
        ece_classes(ds, "usda", convert=convert)


@pytest.mark.parametrize(
    ("method", "convert", "said"),
    [
        ("", None, r"is not known \(not stated\)"),
        ("ECe; EC 1:5", FIVE, "is not known"),
        ("EC 1:5", None, "ECe over EC 1:5"),
        ("ECe", FIVE, "is of ECe already"),
        ("EC 1:5", (7.5, 0.0), "error 0 of a conversion"),
        ("EC 1:5", (750.0, 0.3), "factor 750 of a conversion"),
        ("EC 1:5", (7.5, 1.5), "none of USDA's limits .* are for 3.75 to 30 dS/m ECe"),
    ],
)
def test_classes_that_cannot_be_drawn_are_refused_with_the_reason(
    method: str, convert: tuple[float, float] | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        ece_classes(pixel((0.9, 0.5, 0.2, 0.1), method=method), "usda", convert=convert)


def test_an_unknown_scheme_is_refused(ece: xr.Dataset) -> None:
    with pytest.raises(UsageError, match="'fao'; give one of usda, fao-1988, fao-2006"):
        ece_classes(ece, "fao")


@pytest.mark.parametrize(
    ("calibrated", "limits"),
    [("yyyy", [2.0, 4.0]), ("yyyn", [2.0]), ("yynn", None), ("nnnn", None)],
)
def test_a_threshold_that_is_not_calibrated_draws_no_class(
    calibrated: str, limits: list[float] | None
) -> None:
    ds = pixel((0.9, 0.5, 0.2, 0.1))
    ds[CHANCE].attrs["calibrated"] = [{"y": "yes", "n": "no"}[each] for each in calibrated]
    if limits is None:
        with pytest.raises(UsageError, match=r"no probability of salt|none of USDA's limits"):
            ece_classes(ds, "usda")
    else:
        assert ece_classes(ds, "usda").p_ece_above.limit.values.tolist() == limits


def test_all_calibrated_thresholds_are_needed(ece: xr.Dataset) -> None:
    with pytest.raises(FormatError, match="select afterwards"):
        ece_classes(ece.isel(threshold=[1, 2]), "usda")


def test_layers_without_an_interval_are_refused(ece: xr.Dataset) -> None:
    with pytest.raises(FormatError, match="lack salinity_upper"):
        ece_classes(ece.drop_vars("salinity_upper"), "usda")


def test_whole_steps_as_stored_are_refused() -> None:
    ds = layers(scene_grid())
    with pytest.raises(UsageError, match=r"call xarray\.decode_cf first"):
        ece_classes(ds, "usda")


@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_has_a_name_below_and_above_each_limit(name: str) -> None:
    scheme = SCHEMES[name]
    assert len(scheme.names) == len(scheme.limits) + 1 == len(set(scheme.names))
    assert list(scheme.limits) == sorted(scheme.limits)
