"""Simulated pixels for training: named so, repeatable, and weighed as asked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deepsalt.train.data.mixtures import simulated_tables
from deepsalt.train.data.samples import as_mixtures, stack
from deepsalt.train.data.training_set import draw_views
from deepsalt.train.student.distil import estimates
from deepsalt.train.student.fit import fit_model
from deepsalt.train.teacher.teacher import low_noise_rows, view_weights
from tests.train.tables import QUICK, laboratory_table, library_views, regions, satellite_table

SETTINGS = replace(QUICK, sensors=("enmap", "prisma"), mixtures=100, mixture_weight=0.25)
TABLES = simulated_tables(SETTINGS)


def with_mixtures(settings):
    drawn = [as_mixtures(table) for table in simulated_tables(settings)]
    return stack([library_views(), *drawn])


def test_pixels_are_shared_among_the_sensors():
    assert [(table.sensor, len(table.ec)) for table in TABLES] == [("enmap", 50), ("prisma", 50)]


def test_mixtures_are_named_as_simulated_and_after_free_sources():
    for table in TABLES:
        assert table.simulated
        assert table.name.startswith("simulated ")
        assert all(region.startswith("simulated ") for region in table.region)
        assert "public domain" in table.licence
        assert table.attribution


def test_the_seed_decides_on_spectra_and_digest():
    again, other = simulated_tables(SETTINGS), simulated_tables(replace(SETTINGS, seed=1))
    assert np.array_equal(again[0].reflectance, TABLES[0].reflectance, equal_nan=True)
    assert again[0].sha256 == TABLES[0].sha256
    assert not np.array_equal(other[0].reflectance, TABLES[0].reflectance, equal_nan=True)
    assert other[0].sha256 != TABLES[0].sha256


def test_no_sensor_shares_its_ground_with_another():
    assert not set(TABLES[0].region) & set(TABLES[1].region)


def test_mixtures_weigh_what_was_asked():
    samples = with_mixtures(SETTINGS)
    weights = view_weights(samples, SETTINGS)
    share = weights[samples.simulated & samples.pixels].sum() / weights[~samples.pixels].sum()
    assert share == pytest.approx(0.25)


def test_mixtures_are_nobodys_low_noise_spectrum():
    samples = with_mixtures(SETTINGS)
    assert not samples.pixels[low_noise_rows(samples)].any()


@pytest.fixture(scope="module")
def students():
    """Return the student without mixtures, and with them."""
    return [
        fit_model(each, SETTINGS).student for each in (library_views(), with_mixtures(SETTINGS))
    ]


def test_mixtures_change_answers_to_noisy_spectra(students):
    samples = library_views()
    features = samples.features[samples.view == "enmap with noise"]
    assert not np.array_equal(*(estimates(student, features).salinity for student in students))


def test_mixtures_leave_the_machine_for_low_noise_spectra_as_it_is(students):
    without, with_them = students
    assert torch.equal(with_them.low_noise_inducing_points, without.low_noise_inducing_points)
    assert torch.equal(with_them.low_noise_heads[0], without.low_noise_heads[0])


def test_pixels_alone_are_no_library_beside_sites():
    sites = draw_views([satellite_table(regions(4, 12))], QUICK)
    pixels = [as_mixtures(table) for table in TABLES]
    report = fit_model(stack([sites, *pixels]), SETTINGS).report
    assert report["laboratory_weight"] == 0.0


def test_views_of_a_library_are_drawn_as_without_them():
    pairs = regions(4, 20, first=100)
    alone = draw_views([laboratory_table(pairs, pairs.ec)], QUICK)
    assert np.array_equal(alone.features, library_views().features)
