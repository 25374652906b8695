"""Samples: what spectra become, and what satellites would make of them."""

from dataclasses import fields, replace

import numpy as np
import pytest

from deepsalt.simulate.optics import SENSOR_NOISE
from deepsalt.spectral.bands import sensor_bands
from deepsalt.train.data.samples import (
    DRIFT_NM,
    Samples,
    as_measured,
    as_mixtures,
    features_of,
    in_the_field,
    stack,
    through_sensor,
)
from tests.train.tables import LAB, laboratory_table, regions, satellite_table

PAIRS = regions(3, 20, first=100)
TABLE = laboratory_table(PAIRS, PAIRS.ec)


def rng():
    return np.random.default_rng(0)


def test_only_spectra_and_bands_become_features():
    named = {"ec", "group", "region", "site", "partner", "scene", "view", "satellite", "simulated"}
    named |= {"label_sd"}
    assert {field.name for field in fields(Samples)} == {"features", "snv", "infrared"} | named
    other = replace(TABLE, ec=TABLE.ec * 3, region=TABLE.region[::-1], scene=TABLE.scene[::-1])
    for seen in (as_measured, lambda t: through_sensor(t, "enmap", rng())):
        assert np.array_equal(seen(TABLE).features, seen(other).features)


def test_brightness_changes_levels_alone():
    dark, bright = (features_of(f * TABLE.reflectance, LAB)[0] for f in (1.0, 1.3))
    np.testing.assert_allclose(dark[:, :-2], bright[:, :-2], atol=1e-6)
    assert (np.abs(dark[:, -2:] - bright[:, -2:]).max(axis=1) > 1e-3).all()


def test_common_bands_are_centred_and_scaled():
    snv = as_measured(TABLE).snv
    np.testing.assert_allclose(snv.mean(axis=1), 0.0, atol=1e-4)
    np.testing.assert_allclose(snv.std(axis=1), 1.0, atol=1e-3)


@pytest.mark.parametrize("sensor", ["enmap", "prisma", "emit"])
def test_a_sensor_without_noise_hardly_changes_what_is_seen(sensor):
    lab, seen = as_measured(TABLE), through_sensor(TABLE, sensor)
    assert np.abs(seen.snv - lab.snv).mean() < 0.05
    assert np.isfinite(seen.features).all()


@pytest.mark.parametrize("view", ["noise", "field"])
def test_noise_and_weather_change_spectra_by_the_seed(view):
    def see(generator):
        if view == "noise":
            return through_sensor(TABLE, "enmap", generator).features
        return in_the_field(TABLE, "enmap", generator).features

    clean, first, again = through_sensor(TABLE, "enmap").features, see(rng()), see(rng())
    assert np.array_equal(first, again)
    assert not np.array_equal(first, see(np.random.default_rng(1)))
    assert np.abs(first - clean).max() > 0.0


def test_the_field_is_harder_than_noise():
    clean = through_sensor(TABLE, "enmap").snv
    noisy = through_sensor(TABLE, "enmap", rng()).snv
    field = in_the_field(TABLE, "enmap", rng()).snv
    assert np.abs(field - clean).mean() > np.abs(noisy - clean).mean() > 0.0


def test_prisma_is_noisier_than_enmap(monkeypatch):
    clean = through_sensor(TABLE, "prisma").features
    usual = through_sensor(TABLE, "prisma", rng()).features
    monkeypatch.setitem(SENSOR_NOISE, "prisma", 1.0)
    quieter = through_sensor(TABLE, "prisma", rng()).features
    noise = [np.abs(seen - clean)[:, :-2].mean() for seen in (usual, quieter)]
    assert noise[0] > noise[1]


def test_band_centres_drift_in_parts(monkeypatch):
    """Without noise and light only the shift is left, the same for rows of one part."""
    monkeypatch.setattr("deepsalt.train.data.samples.add_noise", lambda *_: None)
    monkeypatch.setattr("deepsalt.train.data.samples.LIGHT_SD", 0.0)
    same = replace(TABLE, reflectance=np.tile(TABLE.reflectance[:1], (60, 1)))
    seen = through_sensor(same, "enmap", rng()).features
    assert len(np.unique(seen.round(9), axis=0)) == 10
    assert DRIFT_NM > 0


def test_views_share_the_site_of_their_sample():
    seen = [as_measured(TABLE), through_sensor(TABLE, "enmap"), in_the_field(TABLE, "emit", rng())]
    assert all(np.array_equal(part.site, seen[0].site) for part in seen)
    assert [str(part.view[0]) for part in seen] == ["laboratory", "enmap", "emit in the field"]


def test_rows_without_a_name_are_samples_of_their_own():
    nameless = replace(TABLE, sample=np.full(60, ""))
    other = replace(nameless, sha256="1" * 64)
    sites = stack([as_measured(nameless), as_measured(other)]).site
    assert len(set(sites)) == 120


def test_pixels_of_one_laboratory_sample_are_one_site_but_not_that_sample():
    twice = regions(2, 6, looks=2)
    samples = as_measured(satellite_table(twice, paired=True))
    assert len(set(samples.site)) == 12
    assert set(samples.partner) == set(twice.sample)
    assert not set(samples.site) & set(samples.partner)


def test_sites_of_two_tables_are_not_confused():
    first = satellite_table(PAIRS)
    both = stack([as_measured(first), as_measured(replace(first, name="others.csv"))])
    assert len(set(both.site)) == 120


@pytest.mark.parametrize("sensor", ["/a/b/own.csv", "own.csv", "own"])
def test_views_carry_no_path(sensor):
    bands = sensor_bands("enmap")
    table = replace(satellite_table(PAIRS), sensor=sensor, bands=bands)
    assert set(as_measured(table).view) == {"own"}
    assert set(as_mixtures(table).view) == {"own pixels"}


def test_simulated_pixels_are_on_no_satellites_side():
    samples = as_mixtures(satellite_table(PAIRS))
    assert samples.pixels.all()
    assert samples.simulated.all()
    assert not samples.satellite.any()


def test_rows_without_a_label_are_told_apart():
    ec = np.where(np.arange(60) < 10, np.nan, PAIRS.ec)
    samples = as_measured(replace(TABLE, ec=ec))
    assert samples.labelled.sum() == 50
    assert np.isfinite(samples.take(samples.labelled).target).all()


def test_taking_rows_takes_them_in_every_field():
    infrared = rng().normal(size=(len(TABLE.ec), 4)).astype(np.float32)
    samples = replace(as_measured(TABLE), infrared=infrared)
    taken = samples.take(np.array([5, 2]))
    for field in fields(Samples):
        got, wanted = getattr(taken, field.name), getattr(samples, field.name)[[5, 2]]
        assert np.array_equal(got, wanted), field.name
