"""Measured surfaces: kinds, sites, and what is left for tests."""

import numpy as np

from deepsalt.simulate.derive import is_test_site
from deepsalt.simulate.specimens import SOIL_CENTERS_NM
from deepsalt.simulate.surfaces import BARE, BUILT, BURNT, PLAYA, SALT, surfaces

FOUND = surfaces()


def test_every_kind_has_spectra_of_reflectance():
    assert set(FOUND.kind) == {BUILT, BARE, SALT, PLAYA, BURNT}
    assert FOUND.reflectance.shape == (len(FOUND.kind), SOIL_CENTERS_NM.size)
    assert (FOUND.reflectance > 0.0).all()
    assert (FOUND.reflectance < 1.1).all()


def test_built_surfaces_of_test_sites_are_not_among_them():
    sites = np.unique(FOUND.site[FOUND.kind == BUILT])
    assert len(sites) >= 10
    assert not [site for site in sites if is_test_site(site)]
