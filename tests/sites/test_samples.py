"""Tables of field samples: what is understood, what is left out, what is refused."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepsalt.errors import FormatError
from deepsalt.sites.samples import FieldSamples, SampleRules, read_samples
from tests.shared import shared_data

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def read(folder: Path, text: str, **rules: object) -> FieldSamples:
    path = folder / "samples.csv"
    path.write_text(text)
    return read_samples(path, SampleRules(**rules), today=NOW)  # type: ignore[arg-type]


def reasons(samples: FieldSamples) -> dict[str, str]:
    return {each.sample: each.reason for each in samples.left_out}


def test_columns_are_known_by_their_usual_names(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "ID,Longitude,Latitude,EC,unit,method,depth,date,crop\n"
        "7,84.0,40.9,150,mS/m,ECe,0-10 cm,2024-05-01,cotton\n",
    )
    assert (found.id[0], found.lon[0], found.lat[0]) == ("7", 84.0, 40.9)
    assert (found.ec[0], found.method[0]) == (pytest.approx(1.5), "ECe")
    assert (found.top[0], found.bottom[0]) == (0.0, 10.0)
    assert found.day[0] == np.datetime64("2024-05-01")
    assert found.other["crop"].tolist() == ["cotton"]


def test_decimal_commas_are_numbers_where_semicolons_separate(tmp_path: Path) -> None:
    found = read(tmp_path, "id;lon;lat;ec\na;84,25;40,5;1,75\n")
    assert (found.lon[0], found.lat[0], found.ec[0]) == (84.25, 40.5, 1.75)


def test_a_parquet_table_is_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    pd.DataFrame({"id": [1], "lon": [84.0], "lat": [40.9], "ec": [1.5]}).to_parquet(path)
    found = read_samples(path, SampleRules())
    assert (found.id[0], found.ec[0]) == ("1", 1.5)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("dS/m", 1.0), ("mS/cm", 1.0), ("mmho/cm", 1.0), ("MS / M", 0.01), ("uS/cm", 0.001)],
)
def test_each_unit_has_its_factor(tmp_path: Path, unit: str, factor: float) -> None:
    found = read(tmp_path, "id,lon,lat,ec\na,84,40,12\n", unit=unit)
    assert found.ec[0] == pytest.approx(12 * factor)


GOOD = "good,84,40,1,2024-05-01,0,10,5\n"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("bad,,40,1,2024-05-01,0,10,5", "no coordinates"),
        ("bad,84,140,1,2024-05-01,0,10,5", "the coordinates are on no map"),
        ("bad,84,40,,2024-05-01,0,10,5", "no EC"),
        ("bad,84,40,<0.1,2024-05-01,0,10,5", "its EC is no number"),
        ('bad,84,40,"1,250",2024-05-01,0,10,5', "its EC is no number"),
        ("bad,84,40,1,2024-05-01,40 cm,60 cm,5", "the layer begins below 5 cm"),
        ("bad,84,40,1,2024-05-01,deep,60,5", "its top of the layer is no number"),
        ("bad,84,40,1,2024-05-01,0,10,500 m", "its position is known to more than 60 m only"),
        ("bad,84,40,1,202405,0,10,5", "the date cannot be read; write YYYY-MM-DD"),
        ("bad,84,40,-1,2024-05-01,0,10,5", "the EC is negative"),
        ("bad,84,40,900,2024-05-01,0,10,5", "no soil extract has more than 500 dS/m"),
        ("bad,84,40,1,2027-05-01,0,10,5", "the date is in the future"),
        ("bad,84,40,1,May,0,10,5", "the date cannot be read; write YYYY-MM-DD"),
        ("bad,84,40,1,2024-05-01,20,30,5", "the layer begins below 5 cm"),
        ("bad,84,40,1,2024-05-01,0,90,5", "the layer ends below 30 cm"),
        ("bad,84,40,1,2024-05-01,0,10,500", "its position is known to more than 60 m only"),
        (GOOD.strip(), "the row stands twice"),
    ],
)
def test_a_row_that_cannot_be_used_is_left_out_with_its_reason(
    tmp_path: Path, row: str, reason: str
) -> None:
    header = "id,lon,lat,ec,date,top_cm,bottom_cm,position_uncertainty_m\n"
    found = read(tmp_path, f"{header}{GOOD}{row}\n")
    assert found.id.tolist() == ["good"]
    assert reasons(found) == {row.split(",")[0]: reason}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,lon,lat,ec\na,500000,4500000,1\n", "metres and not degrees; give their CRS"),
        ("id,lon,lat,ec\na,40,120,1\nb,41,121,2\n", "look swapped"),
        ("id,lat,ec\na,40,1\n", "no column of the longitude"),
        ("id,lon,lat\na,40,1\n", "name it with --ec COLUMN"),
        ("id,lon,lat,ec,unit\na,84,40,1,percent\n", "unit 'percent'; give one of dS/m"),
        ("id,lon,lat,ec,ec \na,84,40,1,2\n", "two columns named 'ec'"),
        ("id,lon,lat,ec\na,84,40,2500\n", "say --ec-unit uS/cm"),
        ("id,lon,lat,ec\na,84,40,\n", "no sample that can be used; the first: a: no EC"),
        ("id,lon,lat,ec\n", "has no rows"),
        ("id,lon,lat,ec\na,84,25,40,5,1,2\n", "as many fields as"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        read(tmp_path, text)


def test_projected_coordinates_are_moved_to_degrees(tmp_path: Path) -> None:
    found = read(tmp_path, "id,x,y,ec\na,500000,4500000,1\n", crs="EPSG:32644")
    assert found.lon[0] == pytest.approx(81.0)
    assert found.lat[0] == pytest.approx(40.65, abs=0.01)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a,84,40,150\nb,84,41,200\n", "say --ec-unit mS/m: a factor of 0.01"),
        ("a,84,40,150\nb,84,41,2500\n", "say --ec-unit uS/cm"),
        ("a,84,40,3\nb,84,41,4\n", "all 2 samples are saline"),
        ("a,84,40,1\n", "1 samples state no date; only --any-date uses them"),
    ],
)
def test_what_is_doubtful_is_said(tmp_path: Path, rows: str, said: str) -> None:
    found = read(tmp_path, f"id,lon,lat,ec\n{rows}")
    assert any(said in note for note in found.notes), found.notes


def test_a_row_without_a_unit_beside_rows_with_one_is_left_out(tmp_path: Path) -> None:
    text = "id,lon,lat,ec,unit\na,84,40,120,mS/m\nb,84,41,180,\n"
    found = read(tmp_path, text)
    assert reasons(found) == {"b": "no unit, where other rows have one"}
    assert read(tmp_path, text, unit="dS/m").ec.tolist() == [pytest.approx(1.2), 180.0]


@pytest.mark.parametrize(
    "date", ["2024-05-01T10:00:00Z", "2024-05-01 10:00", "01.05.2024", "20240501"]
)
def test_days_are_read_as_people_and_databases_write_them(tmp_path: Path, date: str) -> None:
    found = read(tmp_path, f"id,lon,lat,ec,date\na,84,40,1,{date}\n")
    assert found.day[0] == np.datetime64("2024-05-01")


def test_moments_and_gaps_of_parquet_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    moment = pd.Timestamp("2024-05-01T10:00:00.5", tz="UTC")
    table = {"lon": [84.0], "lat": [40.0], "ec": [1.0], "date": [moment], "region": [None]}
    pd.DataFrame(table).to_parquet(path)
    found = read_samples(path, SampleRules(), today=NOW)
    assert found.day[0] == np.datetime64("2024-05-01")
    assert found.other["region"].tolist() == [""]


def test_a_damaged_archive_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv.gz"
    whole = gzip.compress(b"id,lon,lat,ec\n" + b"a,84,40,1\n" * 500)
    path.write_bytes(whole[:40] + bytes(20) + whole[60:])
    with pytest.raises(FormatError, match="cannot be read"):
        read_samples(path, SampleRules())


def test_rows_without_a_name_are_named_by_their_number(tmp_path: Path) -> None:
    assert read(tmp_path, "lon,lat,ec\n84,40,1\n84,41,2\n").id.tolist() == ["row 1", "row 2"]


@pytest.mark.parametrize(
    ("depth", "layer"),
    [("0-10", (0, 10)), ("0 - 7,5 cm", (0, 7.5)), ("3", (3, 3)), ("Topsoil", (0, np.nan))],
)
def test_depths_are_read_as_people_write_them(
    tmp_path: Path, depth: str, layer: tuple[float, float]
) -> None:
    found = read(tmp_path, f"id;lon;lat;ec;depth\na;84;40;1;{depth}\n")
    assert np.array_equal([found.top[0], found.bottom[0]], layer, equal_nan=True)


@pytest.mark.parametrize(
    ("depth", "reason"),
    [
        ("20-40", "the layer begins below 5 cm"),
        ("sub", "the layer begins below 5 cm"),
        ("shallow", "the depth cannot be read; write 0-20"),
    ],
)
def test_other_layers_are_left_out(tmp_path: Path, depth: str, reason: str) -> None:
    found = read(tmp_path, f"id,lon,lat,ec,depth\na,84,40,1,{depth}\nb,84,40,1,0-5\n")
    assert reasons(found) == {"a": reason}


@pytest.mark.parametrize(
    ("folder", "table", "rules", "counts"),
    [
        ("afsis-cropnuts-ec", "afsis_cropnuts_ec_georef.csv.gz", {}, 1907),
        ("usgs-ucrb-ec", "ucrb_ec.csv.gz", {"ec": "ec_1_2_ds_m", "method": "EC1:2"}, 3067),
    ],
)
def test_every_row_of_real_tables_is_a_sample_or_has_a_reason(
    folder: str, table: str, rules: dict[str, str], counts: int
) -> None:
    found = read_samples(shared_data(folder) / table, SampleRules(**rules))  # type: ignore[arg-type]
    assert len(found) + len(found.left_out) == counts
    assert len(found) > 400
    assert np.isfinite(found.ec).all()
    assert (found.top[np.isfinite(found.top)] <= 5).all()
