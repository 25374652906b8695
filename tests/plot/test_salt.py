"""Classes of salt: which pixel has which, from which threshold, and in which words."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr

import deepsalt
from deepsalt.errors import FormatError, UsageError
from deepsalt.layers import CHANCE, CHANCE_FILL, CHANCE_STEP, THRESHOLDS_DS_M
from deepsalt.plot.legend import salt_meanings, salt_notes
from deepsalt.plot.picture import REASONS, SALT, SALTINESS, classify
from deepsalt.plot.salt import (
    LIKELY,
    MEANINGS,
    NO_CLASS,
    NO_SIGN,
    POSSIBLE,
    UNTOLD,
    SaltRule,
    salt_classes,
)
from deepsalt.types import QualityFlag
from tests.store.builders import add_small, build, layers, make_store, scene_grid

RULE = SaltRule(1.0, 0.0254)
OUT = QualityFlag.OUT_OF_DOMAIN


@pytest.mark.parametrize("stored", [True, False], ids=["as stored", "decoded"])
@pytest.mark.parametrize(
    ("chance", "upper", "flags", "expected"),
    [
        (0.9, 20.0, 0, LIKELY),
        (0.5, 20.0, 0, LIKELY),
        (0.4999, 20.0, 0, POSSIBLE),
        (0.0254, 20.0, 0, POSSIBLE),
        (0.0254, 0.4, 0, POSSIBLE),
        (0.0253, 20.0, 0, UNTOLD),
        (0.0253, 1.0, 0, UNTOLD),
        (0.0253, 0.999, 0, NO_SIGN),
        (0.0, 0.4, QualityFlag.HAZE, NO_SIGN),
        (0.0, 0.4, OUT, UNTOLD),
        (0.9, 20.0, OUT | QualityFlag.EXTRAPOLATED, UNTOLD),
    ],
)
def test_a_pixel_has_the_class_that_p_and_the_interval_give_it(
    chance: float, upper: float, flags: int, expected: int, stored: bool
) -> None:
    p = np.float32(chance)
    given = np.rint(p / CHANCE_STEP).astype(np.uint16) if stored else p
    found = RULE.classes(np.array([given]), np.array([upper]), np.array([flags], np.uint16))
    assert found.tolist() == [expected]


def test_no_pixel_can_be_possible_where_most_soils_are_salty() -> None:
    rule = SaltRule(1.0, 0.7)
    chance, flags = np.array([0.45, 0.5, 0.69, 0.7]), np.zeros(4, np.uint16)
    found = rule.classes(chance, np.full(4, 9.0), flags)
    assert found.tolist() == [UNTOLD, LIKELY, LIKELY, LIKELY]
    assert POSSIBLE not in salt_meanings(rule)


@pytest.mark.parametrize(
    ("calibrated", "expected"),
    [("yyyy", 4.0), ("yynn", 1.0), ("ynnn", 0.5), ("nyny", 4.0), ("nnnn", None), ("    ", None)],
)
def test_the_threshold_is_the_highest_that_is_calibrated(
    calibrated: str, expected: float | None
) -> None:
    ds = layers(scene_grid())
    words = {"y": "yes", "n": "no", " ": ""}
    ds[CHANCE].attrs["calibrated"] = [words[letter] for letter in calibrated]
    rule = SaltRule.of(ds)
    assert (rule.threshold if rule else None) == expected


def test_layers_without_probabilities_have_no_rule() -> None:
    assert SaltRule.of(layers(scene_grid()).drop_vars(CHANCE)) is None


@pytest.mark.parametrize(
    ("flags", "label"),
    [
        (QualityFlag.CLOUD, "cloud, cirrus"),
        (QualityFlag.WATER | OUT, "water"),
        (QualityFlag.OUTSIDE, "not measured"),
    ],
)
def test_a_pixel_without_an_estimate_keeps_its_reason(flags: int, label: str) -> None:
    pixel = {
        "salinity": np.array([np.nan]),
        "salinity_upper": np.array([np.nan]),
        CHANCE: np.full((4, 1), CHANCE_FILL, np.uint16),
        "quality_flags": np.array([flags], np.uint16),
    }
    index = SALTINESS.index[classify(pixel, RULE)[0]]
    labels = [*(each.label for each in (*SALT, *REASONS)), "not measured"]
    assert labels[index] == label


def test_the_legend_has_the_four_classes_in_words() -> None:
    assert [SALT[salt].label for salt in salt_meanings(RULE)] == [
        "salt likely",
        "salt possible",
        "cannot be told",
        "no sign of salt",
    ]


def test_the_legend_says_which_numbers_the_classes_rest_on() -> None:
    text = " ".join([*salt_meanings(RULE).values(), *salt_notes(RULE)])
    assert "the interval reaches 1 dS/m" in text
    assert "2.5 % have more" in text
    assert "where salt is commoner, p is too low" in text


def test_colours_of_salt_darken_with_p() -> None:
    rgb = [
        [int(SALT[k].color[i : i + 2], 16) for i in (1, 3, 5)] for k in (NO_SIGN, POSSIBLE, LIKELY)
    ]
    luma = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in rgb]
    assert all(a - b > 40 for a, b in pairwise(luma))


@pytest.fixture(scope="module")
def mosaic() -> xr.Dataset:
    store = make_store()
    add_small(store, "a")
    build(store)
    return deepsalt.open_mosaic(store)


def test_an_opened_mosaic_has_the_classes_of_its_pixels(mosaic: xr.Dataset) -> None:
    found = deepsalt.salt_classes(mosaic)
    p, upper = mosaic[CHANCE].sel(threshold=4).values, mosaic["salinity_upper"].values
    estimated = np.isfinite(mosaic["salinity"].values)
    likely = estimated & (p >= 0.49999)
    no_sign = estimated & (p < 0.2) & (upper < 4.0)
    assert found.dtype == np.uint8
    assert found.dims == ("period", "y", "x")
    np.testing.assert_array_equal(found.values == LIKELY, likely)
    np.testing.assert_array_equal(found.values == NO_SIGN, no_sign)
    np.testing.assert_array_equal(found.values == NO_CLASS, ~estimated)
    assert set(np.unique(found.values)) == {NO_SIGN, UNTOLD, POSSIBLE, LIKELY, NO_CLASS}


def test_classes_say_by_cf_what_they_mean(mosaic: xr.Dataset) -> None:
    attrs = salt_classes(mosaic).attrs
    assert attrs["flag_values"].dtype == np.uint8
    assert dict(zip(attrs["flag_values"], attrs["flag_meanings"].split(), strict=True)) == dict(
        enumerate(MEANINGS)
    )
    assert (attrs["threshold"], attrs["base_rate"]) == (THRESHOLDS_DS_M[-1], 0.2)


def test_classes_of_a_lazy_mosaic_are_lazy(mosaic: xr.Dataset) -> None:
    found = salt_classes(mosaic)
    assert found.chunks == mosaic["salinity"].chunks
    np.testing.assert_array_equal(found.values, salt_classes(mosaic.load()).values)


def test_no_class_is_given_when_no_probability_is_calibrated() -> None:
    ds = layers(scene_grid())
    ds[CHANCE].attrs["calibrated"] = ["no"] * 4
    with pytest.raises(UsageError, match="no probability of salt of this model is calibrated"):
        salt_classes(ds)


def test_classes_need_their_own_threshold(mosaic: xr.Dataset) -> None:
    one = salt_classes(mosaic.isel(threshold=[3]))
    np.testing.assert_array_equal(one.values, salt_classes(mosaic).values)
    with pytest.raises(FormatError, match="lack p_above of 4 dS/m"):
        salt_classes(mosaic.isel(threshold=[0, 1]))


def test_classes_of_layers_without_an_interval_are_refused() -> None:
    with pytest.raises(FormatError, match="lack salinity_upper"):
        salt_classes(layers(scene_grid()).drop_vars("salinity_upper"))
