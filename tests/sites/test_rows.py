"""From looks to rows: which look counts, what shares a pixel, how it is written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepsalt.conductivity import EC_SHIFT
from deepsalt.sites.look import NOTHING, Looks
from deepsalt.sites.rows import SceneFacts, Seen, Sites, sites_of
from deepsalt.sites.samples import FieldSamples, SampleRules, read_samples
from deepsalt.spectral.bands import sensor_bands
from deepsalt.types import QualityFlag

DAY = np.datetime64("2024-05-01")
BANDS = {name: sensor_bands(name) for name in ("enmap", "prisma")}


def samples(folder: Path, *rows: str) -> FieldSamples:
    """Samples ``id,lon,lat,ec,method,date``."""
    path = folder / "samples.csv"
    path.write_text("\n".join(["id,lon,lat,ec,method,date", *rows]))
    return read_samples(path, SampleRules())


def seen(
    key: str,
    pixels: list[int],
    *,
    sensor: str = "enmap",
    day: int = 0,
    flag: int = 0,
    why: str = "cloud",
) -> Seen:
    """A scene that shows samples 0, 1 ... each in a pixel, or not where it is -1."""
    place = np.array(pixels)
    bands = BANDS[sensor]
    shown = place >= 0
    looks = Looks(
        row=place,
        column=place,
        reflectance=np.full((len(pixels), len(bands)), 0.25, np.float32),
        spread=np.full(len(pixels), np.nan),
        pixels=shown.astype(np.int64),
        flags=np.full(len(pixels), flag, np.uint16),
        reason=np.where(shown, "", why),
    )
    facts = SceneFacts(key, sensor, DAY + day, 0.0, bands, True)
    return Seen(facts, np.arange(len(pixels)), looks)


def rows(found: Sites) -> list[tuple[str, str]]:
    return list(zip(found.table["sample_id"], found.table["scene_id"], strict=True))


def test_the_best_look_has_fewest_flags_then_fewest_days(tmp_path: Path) -> None:
    one = samples(tmp_path, "a,84,40,1,ECe,2024-05-01")
    hazy = seen("hazy", [3], flag=int(QualityFlag.HAZE))
    late, soon = seen("late", [3], day=20), seen("soon", [3], day=-5)
    assert rows(sites_of(one, [hazy, late, soon], {})) == [("a", "soon")]
    assert rows(sites_of(one, [hazy, late], {})) == [("a", "late")]


def test_all_looks_are_a_row_each_on_request(tmp_path: Path) -> None:
    one = samples(tmp_path, "a,84,40,1,ECe,2024-05-01")
    looks = [seen("late", [3], day=20), seen("soon", [3])]
    assert rows(sites_of(one, looks, {}, all_looks=True)) == [("a", "late"), ("a", "soon")]


def test_samples_that_share_a_pixel_are_averaged_in_logarithms(tmp_path: Path) -> None:
    two = samples(tmp_path, "b,84,40,1,ECe,2024-05-01", "a,84,40.0001,9,ECe,2024-05-01")
    found = sites_of(two, [seen("scene", [3, 3])], {}).table
    logs = np.log(np.array([1.0, 9.0]) + EC_SHIFT)
    assert found["sample_id"].tolist() == ["a+b"]
    assert found["samples"].tolist() == [2]
    assert found["ec_ds_m"][0] == pytest.approx(np.exp(logs.mean()) - EC_SHIFT, rel=1e-5)
    assert found["log_ec_spread"][0] == pytest.approx(logs.std(ddof=1), rel=1e-5)
    assert found["log_ec_sd"][0] == pytest.approx(logs.std(ddof=1) / 2**0.5, rel=1e-5)


def test_what_the_table_states_of_a_label_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    path.write_text("id,lon,lat,ec,log_ec_sd\na,84,40,1,0.3\nb,85,40,1,\n")
    found = sites_of(read_samples(path, SampleRules()), [seen("scene", [1, 2])], {}).table
    assert found["log_ec_sd"][0] == 0.3
    assert np.isnan(found["log_ec_sd"][1])


def test_a_mean_of_samples_is_known_better_than_one_of_them(tmp_path: Path) -> None:
    many = samples(
        tmp_path,
        *(f"a{i},84,40,{ec},ECe,2024-05-01" for i, ec in enumerate((1, 2, 4))),
        "b,85,40,2,ECe,2024-05-01",
    )
    found = sites_of(many, [seen("scene", [3, 3, 3, 5])], {}).table
    mean, single = found["log_ec_sd"]
    assert mean == pytest.approx(single / 3**0.5, rel=1e-5)
    assert single == pytest.approx(found["log_ec_spread"][0], rel=1e-5)


def test_samples_with_laboratory_pairs_of_their_own_are_not_averaged(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    path.write_text("id,lon,lat,ec,lab_sample_id\na,84,40,1,L1\nb,84,40,3,L2\n")
    found = sites_of(read_samples(path, SampleRules()), [seen("scene", [1, 1])], {}).table
    assert found["lab_sample_id"].tolist() == ["L1", "L2"]


def test_one_sample_by_two_methods_is_two_rows_with_names_of_their_own(tmp_path: Path) -> None:
    two = samples(tmp_path, "a,84,40,1,ECe,2024-05-01", "a,84,40,9,EC1:5,2024-05-01")
    found = sites_of(two, [seen("scene", [3, 3])], {}).table
    assert found["sample_id"].tolist() == ["a EC1:5", "a ECe"]


def test_one_name_at_two_places_is_two_rows_with_names_of_their_own(tmp_path: Path) -> None:
    two = samples(tmp_path, "a,84,40,1,ECe,2024-05-01", "a,85,40,9,ECe,2024-05-01")
    found = sites_of(two, [seen("scene", [3, 4])], {}).table
    assert found["sample_id"].nunique() == 2
    assert found["site"].nunique() == 2


def test_other_columns_never_look_like_bands_or_like_ours(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    path.write_text("id,lon,lat,ec,r1,site,field_site,Flags,crop\na,84,40,1,5,x,y,z,\n")
    found = sites_of(read_samples(path, SampleRules()), [seen("scene", [1])], {}).table
    assert found.columns.is_unique
    assert {"field_r1", "field_site", "field_field_site", "field_Flags"} <= set(found.columns)
    assert found["crop"].tolist() == [""]


def test_methods_are_never_mixed(tmp_path: Path) -> None:
    two = samples(tmp_path, "a,84,40,1,ECe,2024-05-01", "b,84,40,9,EC1:5,2024-05-01")
    found = sites_of(two, [seen("scene", [3, 3])], {}).table
    assert found["ec_ds_m"].tolist() == [1.0, 9.0]


def test_samples_nearer_than_windows_are_wide_are_one_site(tmp_path: Path) -> None:
    three = samples(
        tmp_path,
        "a,84,40,1,ECe,2024-05-01",
        "b,84.001,40,2,ECe,2024-05-01",  # 85 m
        "c,84.01,40,3,ECe,2024-05-01",
    )
    found = sites_of(three, [seen("scene", [1, 2, 9])], {}).table
    assert found["site"].tolist() == ["a", "a", "c"]


def test_sensors_share_a_table_with_columns_of_their_own(tmp_path: Path) -> None:
    two = samples(tmp_path, "a,84,40,1,ECe,2024-05-01", "b,85,40,2,ECe,2024-05-01")
    looks = [seen("e", [1, -1]), seen("p", [-1, 1], sensor="prisma")]
    table = sites_of(two, looks, {}).table
    spectra = table.filter(regex=r"^r\d")
    assert table["sensor"].tolist() == ["enmap", "prisma"]
    usable = [sum(BANDS[name].usable) for name in ("enmap", "prisma")]
    assert spectra.notna().sum(axis=1).tolist() == usable


def test_samples_without_a_row_are_counted_by_what_their_best_scene_says(tmp_path: Path) -> None:
    three = samples(
        tmp_path,
        "a,84,40,1,ECe,2024-05-01",
        "b,85,40,2,ECe,2024-05-01",
        "c,86,40,2,ECe,2024-05-01",
        "d,86,40,,ECe,2024-05-01",
    )
    margin, near, far = (
        seen(name, [1, -1], day=day, why=why)
        for name, day, why in (("a", 0, NOTHING), ("b", 3, "cloud"), ("c", 9, "water"))
    )
    found = sites_of(three, [margin, far, near], {2: "no scene covers it"})
    assert found.unmatched == {"cloud": 1, "no EC": 1, "no scene covers it": 1}
    assert found.matched.tolist() == [True, False, False]
    assert len(found.left_out) == 5


def test_a_scene_that_was_not_read_is_one_reason_whatever_the_error(tmp_path: Path) -> None:
    one = samples(tmp_path, "a,84,40,1,ECe,2024-05-01")
    lost = Seen(seen("x", [1]).scene, np.array([0]), None, "a.tif is truncated")
    found = sites_of(one, [lost], {})
    assert found.unmatched == {"its scene could not be read": 1}
    assert "a.tif is truncated" in found.left_out[0].reason


def test_the_order_of_scenes_does_not_matter(tmp_path: Path) -> None:
    two = samples(tmp_path, "a,84,40,1,ECe,2024-05-01", "b,85,40,2,ECe,2024-05-01")
    looks = [seen("x", [1, 1]), seen("y", [2, -1]), seen("z", [-1, 4], sensor="prisma")]
    there, back = (
        sites_of(two, some, {}, all_looks=True) for some in (looks, list(reversed(looks)))
    )
    pd.testing.assert_frame_equal(there.table, back.table)
    assert there.left_out == back.left_out
