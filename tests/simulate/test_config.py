import pytest

from deepsalt.errors import FormatError, UsageError
from deepsalt.simulate.config import SimulationConfig, read_simulation


def read(tmp_path, text):
    path = tmp_path / "simulation.toml"
    path.write_text(text)
    return read_simulation(path)


def test_an_empty_file_is_the_defaults(tmp_path):
    assert read(tmp_path, "") == SimulationConfig()


def test_by_default_there_are_more_than_twenty_regions():
    assert SimulationConfig().regions >= 20


def test_a_file_sets_what_it_names_and_nothing_else(tmp_path):
    text = 'regions = 30\nsalt_g_kg = [2, 8.5]\nspecimens = "salts"\n'
    text += "[mixing]\nenrichment = 20\n[atmosphere]\nsmile_nm = 1.5\n"
    config = read(tmp_path, text)
    assert (config.regions, config.salt_g_kg) == (30, (2.0, 8.5))
    assert (config.mixing.enrichment, config.atmosphere.smile_nm) == (20.0, 1.5)
    assert config.specimens == tmp_path / "salts"
    assert config.sites == SimulationConfig().sites


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("region = 3", "unknown key 'region'"),
        ("[mixing]\nenrichmnt = 3", "mixing has the unknown key 'enrichmnt'"),
        ("[atmosphere]\nozone = 3", "unknown key 'ozone'"),
        ("regions = 2.5", "regions is 2.5; give a whole number"),
        ("regions = true", "give a whole number"),
        ('salt_log_sd = "much"', "salt_log_sd is 'much'; give a number"),
        ("salt_g_kg = 3", "give a list of 2 numbers"),
        ("salt_g_kg = [1, 2, 3]", "give a list of 2 numbers"),
        ("specimens = 3", "give a text"),
        ("mixing = 3", "mixing is 3; give a table"),
        ("regions 3", "give a TOML file"),
    ],
    ids=str,
)
def test_a_file_that_says_something_else_is_refused(tmp_path, text, message):
    with pytest.raises(FormatError, match=message):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FormatError, match="cannot be read"):
        read_simulation(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("regions = 0", "regions 0"),
        ("seed = -1", "seed -1"),
        ('use = "test"', "'test'"),
        ("saline_share = [0.5, 1.5]", "saline_share 0.5 to 1.5"),
        ("salt_g_kg = [9.0, 2.0]", "ascending"),
        ("gypsum_g_kg = [0.0, 2.0]", "gypsum_g_kg"),
        ("soil_spread = 2.0", "soil_spread 2 must lie in 0 to 1"),
        ("[mixing]\nenrichment = 0.5", "at least 1"),
        ("[atmosphere]\ngain = -0.1", "gain"),
        ("[atmosphere]\nvapour_cm = [3.0, 1.0]", "vapour_cm"),
    ],
    ids=str,
)
def test_numbers_without_a_meaning_are_refused(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        read(tmp_path, text)
