"""The three aims of the out-of-domain test on real spectra that it did not see.

Its encoder and its own soils are half of the library's profiles. Built surfaces are those of the
collection sites that no shipped table holds, and of another library.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest

from deepsalt.simulate.derive import collection_sites, is_test_site
from deepsalt.simulate.optics import is_salt
from deepsalt.simulate.specimens import demo_profile, specimens
from deepsalt.simulate.surfaces import PLAYA, SALT
from deepsalt.spectral.bands import sensor_bands
from deepsalt.train.config import Settings
from deepsalt.train.data.samples import features_of, through_sensor
from deepsalt.train.data.tables import TableSpec, read_training_table
from deepsalt.train.data.training_set import draw_views
from deepsalt.train.teacher.teacher import fit_encoders
from deepsalt.train.uncertainty.contrast import known_spectra
from deepsalt.train.uncertainty.domain import fit_domain, salt_crusts
from tests.shared import shared_data

pytestmark = pytest.mark.slow

VIEWS = ("laboratory", "enmap", "enmap with noise")


@lru_cache(maxsize=1)
def library():
    path = shared_data("icraf-isric-vnir", "icraf_isric_vnir_train.csv.gz")
    table = read_training_table(TableSpec(path, "laboratory"))
    names = {name: demo_profile(f"half {name}") for name in np.unique(table.group)}
    hidden = np.array([names[name] for name in table.group])
    return table.take(~hidden), table.take(hidden)


@lru_cache(maxsize=3)
def fitted(without=frozenset()):
    samples = draw_views([library()[0]], Settings())
    encoder = fit_encoders(samples, Settings())[0]
    noise = encoder(samples.features)[1]
    return encoder, fit_domain(encoder, samples.features, noise, 32, without=without)


def flagged(features, without=frozenset()):
    encoder, domain = fitted(without)
    return domain.score_of(encoder, features) > 1.0


def seen(reflectance, view, bands=None):
    """Features of laboratory spectra as measured or through EnMAP."""
    table = library()[1]
    few = table.take(np.zeros(len(reflectance), dtype=np.intp))
    table = replace(few, reflectance=reflectance, bands=bands or table.bands)
    if view == "laboratory":
        return features_of(reflectance, table.bands)[0]
    rng = np.random.default_rng(0) if view.endswith("noise") else None
    return through_sensor(table, "enmap", rng).features


def earthlib(level):
    other = pd.read_csv(shared_data("earthlib-cover", "earthlib_non_icraf.csv.gz"))
    other = other[level == other.LEVEL_2]
    names = [f"r{nm:g}" for nm in sensor_bands("lab").centers_nm]
    return other[names].to_numpy(), collection_sites(other).to_numpy()


@pytest.mark.parametrize("view", VIEWS)
def test_at_most_a_twentieth_of_the_soils_of_other_profiles_is_flagged(view):
    assert flagged(seen(library()[1].reflectance, view)).mean() <= 0.05


@pytest.mark.parametrize("view", VIEWS)
def test_at_least_seven_tenths_of_built_surfaces_at_sites_never_seen_are_flagged(view):
    spectra, site = earthlib("built")
    hidden = [name for name in np.unique(site) if is_test_site(name)]
    shares = [flagged(seen(spectra[site == name], view)).mean() for name in hidden]
    assert len(shares) == 3
    assert np.mean(shares) >= 0.7


@pytest.mark.parametrize("view", VIEWS)
def test_at_most_a_fiftieth_of_real_salts_that_the_fit_has_seen_is_flagged(view):
    known = known_spectra()
    names = known.view == ("laboratory" if view == "enmap" else view)
    assert flagged(known.features[(known.kind == "salt") & names]).mean() <= 0.02


def test_at_most_a_fiftieth_of_crusts_of_specimens_never_seen_is_flagged():
    demo = {each.mineral for each in specimens("demo") if is_salt(each.mineral)}
    hidden = frozenset((SALT, name) for name in demo - {"halite", "gypsum"})  # those are drawn
    assert len(hidden) == 3
    assert flagged(salt_crusts("demo"), hidden).mean() <= 0.02


def test_no_pixel_of_a_playa_that_was_never_seen_is_flagged():
    encoder, domain = fitted(frozenset([(PLAYA, "Sevier Lake")]))
    known = known_spectra()
    pixels = known.features[(known.kind == PLAYA) & (known.view == "laboratory")]
    assert (domain.score_of(encoder, pixels) <= 1.0).all()


def test_built_surfaces_of_another_library_are_flagged():
    names = pd.read_csv(shared_data("usgs-splib07-av95", "all_names.csv.gz"))
    bands = pd.read_csv(shared_data("usgs-splib07-av95", "bands.csv"))
    path = shared_data("usgs-splib07-av95", "s07_AV95_envi.sli")
    spectra = np.fromfile(path, dtype="<f4").reshape(-1, len(bands))
    kinds = (
        "^(?:Asphalt|Brick|Cinder_Block|Coated_Steel|Concrete|Fiberglass.*Roof|Painted_Al|Sheet_M)"
    )
    rows = names[names.name.str.contains(kinds) & (names.valid_frac > 0.95)].row
    order = np.argsort(bands.center_nm.to_numpy(), kind="stable")
    at, values = bands.center_nm.to_numpy()[order], spectra[rows][:, order].astype(float)
    lab = sensor_bands("lab")
    found = [np.interp(lab.centers_nm, at[row > -1], row[row > -1]) for row in values]
    assert len(found) >= 14
    assert flagged(seen(np.array(found), "laboratory", lab)).mean() >= 0.7


@pytest.mark.parametrize(
    ("folder", "file", "prefix", "scale"),
    [
        ("limesoda-visnir", "SSP.460.csv.gz", "wl_", 0.01),
        ("limesoda-visnir", "UL.120.csv.gz", "wl_", 0.01),
        ("spectacles-australia", "australia_100.csv.gz", "r", 1.0),
        ("soilspec-book-asd", "datsoilspc_391.csv.gz", "r", 1.0),
    ],
)
def test_at_most_a_twentieth_of_the_soils_of_other_libraries_is_flagged(
    folder, file, prefix, scale
):
    table = pd.read_csv(shared_data(folder, file))
    names = [name for name in table.columns if name.startswith(prefix) and name[-1].isdigit()]
    at = np.array([float(name[len(prefix) :]) for name in names])
    lab = sensor_bands("lab")
    spectra = np.array([np.interp(lab.centers_nm, at, row) for row in table[names].to_numpy()])
    assert flagged(seen(scale * spectra, "laboratory", lab)).mean() <= 0.05
