"""Layers: names, fill values and CF attributes."""

import numpy as np

from deepsalt.layers import (
    DATE_FILL,
    MOSAIC_LAYERS,
    SCENE_LAYERS,
    quality_flags_attrs,
    salinity_attrs,
)
from deepsalt.types import QualityFlag

LAYERS = {layer.name: layer for layer in MOSAIC_LAYERS}


def test_a_mosaic_has_every_layer_of_a_scene_product():
    assert MOSAIC_LAYERS[: len(SCENE_LAYERS)] == SCENE_LAYERS


def test_fill_values_read_as_nothing_measured():
    assert LAYERS["quality_flags"].fill == QualityFlag.OUTSIDE
    assert LAYERS["last_observed"].fill == DATE_FILL == np.iinfo(np.int32).min
    assert np.isnan(LAYERS["salinity"].fill)


def test_quality_flags_names_one_meaning_per_bit():
    attrs = quality_flags_attrs()
    assert len(str(attrs["flag_meanings"]).split()) == len(attrs["flag_masks"]) == len(QualityFlag)


def test_salinity_says_which_conductivity_it_is():
    attrs = salinity_attrs("1:5 water extract", "0-5 cm", "25 degC")["salinity"]
    assert (attrs["units"], attrs["ec_method"]) == ("dS m-1", "1:5 water extract")


def test_attributes_are_copies_that_may_be_changed():
    LAYERS["salinity"].attributes()["units"] = "mS/m"
    assert LAYERS["salinity"].attributes()["units"] == "dS m-1"


def test_layers_share_one_spelling_of_their_type():
    assert {np.dtype(layer.dtype).name for layer in MOSAIC_LAYERS} == {
        "float32",
        "uint16",
        "int32",
    }
