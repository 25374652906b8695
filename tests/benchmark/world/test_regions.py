import time
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

from deepsalt.benchmark.world.config import LAWS, SimulationConfig
from deepsalt.benchmark.world.ground import draw_region
from deepsalt.benchmark.world.materials import load_materials
from deepsalt.benchmark.world.pairs import join_pairs
from deepsalt.benchmark.world.regions import SimulatedPairs, simulate_regions
from deepsalt.errors import FormatError, UsageError
from deepsalt.simulate.atmosphere import AtmosphereConfig
from deepsalt.simulate.optics import MixingConfig
from deepsalt.spectral.bands import sensor_bands

SMALL = SimulationConfig(regions=4, sites=20)


def draw(config=SMALL, sensor="enmap", seed=7, **options):
    return simulate_regions(config, sensor=sensor, seed=seed, **options)


def arrays(pairs):
    values = {f.name: getattr(pairs, f.name) for f in fields(pairs)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def assert_same(one, other):
    for name, value in arrays(one).items():
        equal_nan = value.dtype.kind == "f"
        assert np.array_equal(value, arrays(other)[name], equal_nan=equal_nan), name


@pytest.fixture(scope="module")
def many():
    return draw(SimulationConfig(regions=24, sites=40))


def test_the_same_seed_is_the_same_land():
    assert_same(draw(), draw())
    assert not np.array_equal(draw().ec, draw(seed=8).ec)


def test_the_configs_seed_counts_where_no_other_is_given():
    assert_same(simulate_regions(replace(SMALL, seed=7), sensor="enmap"), draw())


def test_more_regions_do_not_change_the_first_ones():
    more = draw(replace(SMALL, regions=6))
    first = np.isin(more.region, draw().region)
    assert first.sum() == len(draw().ec)
    assert np.array_equal(more.satellite[first], draw().satellite, equal_nan=True)


def test_a_choice_of_regions_is_what_the_whole_holds_there():
    chosen = draw(regions=[2])
    of_region = draw().region == chosen.region[0]
    assert np.array_equal(draw().lab[of_region], chosen.lab)
    assert np.array_equal(draw().ec[of_region], chosen.ec)


def test_a_library_of_other_regions_shares_no_sample_with_the_sites():
    library = draw(regions=range(100, 103))
    assert not set(library.sample) & set(draw().sample)
    assert not set(library.ec) & set(draw().ec)


def test_another_sensor_sees_the_same_ground_and_samples():
    one, other = draw(), draw(sensor="prisma")
    for name in ("lab", "ec", "sample", "scene", "green", "film_mm", "salt"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert other.satellite.shape[1] == len(sensor_bands("prisma"))


@pytest.mark.parametrize("sensor", ["enmap", "prisma", "lab"])
def test_usable_bands_are_complete_and_the_others_empty(sensor):
    pairs = draw(sensor=sensor)
    usable = np.array(pairs.satellite_bands.usable)
    assert np.isfinite(pairs.satellite[:, usable]).all()
    assert np.isnan(pairs.satellite[:, ~usable]).all()
    assert np.isfinite(pairs.lab).all()


def test_repeats_show_a_site_again_in_another_scene_with_the_same_label():
    pairs = draw(replace(SMALL, scenes=3), repeats=3)
    table = pd.DataFrame({name: arrays(pairs)[name] for name in ("sample", "scene", "ec", "salt")})
    by_sample = table.groupby("sample")
    assert (by_sample.scene.nunique() == 3).all()
    assert (by_sample[["ec", "salt"]].nunique() == 1).to_numpy().all()


def test_repeats_differ_in_what_the_satellite_sees_and_not_in_the_laboratory():
    pairs = draw(repeats=2)
    first, second = (pairs.sample == pairs.sample[0]).nonzero()[0]
    assert np.array_equal(pairs.lab[first], pairs.lab[second])
    change = np.nanmean(np.abs(pairs.satellite[first] - pairs.satellite[second]))
    assert 1e-3 < change < 0.2


def test_repeats_do_not_change_the_first_look():
    once, twice = draw(), draw(repeats=2)
    looks = pd.MultiIndex.from_arrays([twice.sample, twice.scene])
    rows = looks.get_indexer(pd.MultiIndex.from_arrays([once.sample, once.scene]))
    assert (rows >= 0).all()
    assert np.array_equal(twice.satellite[rows], once.satellite, equal_nan=True)


def test_more_salt_is_more_conductivity():
    salty = replace(SMALL, saline_share=(1.0, 1.0), gypsum_share=(0.0, 0.0))
    low, mid, high = (draw(replace(salty, salt_g_kg=(g, g))).ec for g in (1.0, 5.0, 25.0))
    assert (low < mid).all()
    assert (mid < high).all()


def test_a_saline_crust_shows_to_the_satellite_and_hardly_to_the_laboratory():
    plain = replace(
        SMALL,
        saline_share=(1.0, 1.0),
        gypsum_share=(0.0, 0.0),
        moist_share=(0.0, 0.0),
        enrichment_region_log_sd=0.0,
        enrichment_site_log_sd=0.0,
        mixing=MixingConfig(enrichment=30.0, max_green=0.0, max_dry=0.0, noise=0.0),
    )
    low, high = (draw(replace(plain, salt_g_kg=(g, g), salt_log_sd=0.0)) for g in (0.1, 5.0))
    satellite = np.nanmean(np.abs(high.satellite - low.satellite))
    laboratory = np.mean(np.abs(high.lab - low.lab))
    assert satellite > 5 * laboratory


def test_the_crust_holds_the_enrichment_times_the_samples_salt():
    sure = replace(
        SMALL, enrichment_region_log_sd=0.0, enrichment_site_log_sd=0.0, gypsum_share=(0.0, 0.0)
    )
    base, double = (
        draw(replace(sure, salt_g_kg=(2.0, 2.0), mixing=MixingConfig(enrichment=e)))
        for e in (5.0, 10.0)
    )
    assert double.salt == pytest.approx(2 * base.salt)
    assert np.array_equal(base.ec, double.ec)


def test_ground_without_salt_does_not_depend_on_the_enrichment():
    none = replace(SMALL, gypsum_share=(0.0, 0.0), saline_share=(0.0, 0.0))
    low, high = (draw(replace(none, mixing=MixingConfig(enrichment=e))) for e in (2.0, 50.0))
    assert_same(low, high)
    assert low.salt == pytest.approx(np.zeros(len(low.ec)))


def test_much_gypsum_alone_does_not_conduct_much():
    config = replace(SMALL, gypsum_share=(1.0, 1.0), gypsum_g_kg=(50.0, 50.0))
    pairs = draw(replace(config, saline_share=(0.0, 0.0)))
    assert np.median(pairs.gypsum) > 0.05
    assert pairs.ec.max() < 3.5
    assert pairs.gypsum == pytest.approx(pairs.salt)


def test_laws_of_mixing_change_the_satellite_and_never_the_sample():
    hapke, linear, bilinear = (draw(replace(SMALL, law=law)) for law in LAWS)
    for other in (linear, bilinear):
        assert np.array_equal(hapke.lab, other.lab)
        assert np.array_equal(hapke.ec, other.ec)
        assert not np.allclose(hapke.satellite, other.satellite, equal_nan=True, atol=1e-3)
    assert np.nanmean(bilinear.satellite - linear.satellite) > 0.01  # more light comes back


def test_without_interaction_the_bilinear_law_is_the_linear_one():
    linear = draw(replace(SMALL, law="linear"))
    bilinear = draw(replace(SMALL, law="bilinear", interaction=0.0))
    assert np.allclose(linear.satellite, bilinear.satellite, equal_nan=True, atol=1e-12)


def test_bright_ground_reflects_no_more_than_all_light():
    noiseless = MixingConfig(noise=0.0, enrichment=100.0)
    salty = replace(SMALL, salt_g_kg=(400.0, 500.0), saline_share=(1.0, 1.0), mixing=noiseless)
    calm = AtmosphereConfig(gain=0.0, smooth=0.0, aerosol_slope=0.0, path_reflectance=0.0)
    calm = replace(calm, vapour_error=0.0, oxygen_error=0.0)
    seen = draw(replace(salty, law="bilinear", atmosphere=calm)).satellite
    assert np.nanmax(seen) < 1.3  # slopes face the sun


def test_chlorides_can_be_asked_for():
    names = ("halite", "thenardite", "gypsum")
    materials = load_materials("demo")
    few, many = (
        np.mean(
            [
                draw_region(
                    np.random.default_rng(i), materials, replace(SMALL, use="demo", chloride=share)
                ).salts
                for i in range(60)
            ],
            axis=0,
        )
        for share in (0.1, 0.9)
    )
    halite, thenardite, gypsum = (materials.minerals.index(name) for name in names)
    assert many[halite] > 3 * few[halite]
    assert few[thenardite] > 3 * many[thenardite]
    assert few[gypsum] == many[gypsum] == 0.0


@pytest.mark.parametrize("layer", ["ec", "salt", "film_mm", "green"])
def test_regions_differ_by_more_than_chance(many, layer):
    values = np.log(getattr(many, layer) + 0.01)
    groups = [values[many.region == name] for name in np.unique(many.region)]
    between = np.var([group.mean() for group in groups])
    by_chance = np.mean([group.var() / group.size for group in groups])
    assert between > 3 * by_chance


def test_soils_vary_more_between_regions_than_within(many):
    index = np.argmin(np.abs(np.array(many.lab_bands.centers_nm) - 650))
    level = np.log(many.lab[:, index])
    groups = [level[many.region == name] for name in np.unique(many.region)]
    assert np.var([g.mean() for g in groups]) > 0.5 * np.mean([g.var() for g in groups])


def test_salinity_spans_all_classes(many):
    # The classes' breaks are of saturated pastes; a 1:2 extract holds five times the water.
    shares = np.histogram(many.ec, np.array([0, 2, 4, 8, 16, 5000]) / 5.0)[0] / many.ec.size
    assert (shares > 0.03).all()
    assert many.ec.max() < 500


def test_noise_can_be_switched_off():
    clean, noisy = draw(replace(SMALL, mixing=MixingConfig(noise=0.0))), draw()
    rough = [np.nanmean(np.abs(np.diff(p.satellite[:, 10:60], n=2))) for p in (clean, noisy)]
    assert rough[0] < 0.7 * rough[1]


def test_a_thousand_sites_take_a_few_seconds():
    start = time.process_time()
    draw(SimulationConfig(regions=20, sites=50))
    assert time.process_time() - start < 5.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeats": 3}, "3 repeats"),
        ({"repeats": 0}, "0 repeats"),
        ({"regions": []}, "at least one"),
        ({"regions": [1, 1]}, "distinct"),
        ({"regions": [-1]}, "from 0 on"),
    ],
    ids=str,
)
def test_what_cannot_be_simulated_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        draw(**options)


def test_an_unknown_sensor_is_refused():
    with pytest.raises(FormatError, match="neither a sensor"):
        draw(sensor="landsat-9")


def test_pairs_of_different_sensors_are_not_joined():
    with pytest.raises(UsageError, match="cannot be joined"):
        join_pairs([draw(), draw(sensor="prisma")])


def test_joined_pairs_hold_the_rows_of_all():
    joined = join_pairs([draw(regions=[0]), draw(regions=[1])])
    assert isinstance(joined, SimulatedPairs)
    assert_same(joined, draw(regions=[0, 1]))
