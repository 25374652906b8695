"""Options of the verbs that read a table of field samples, `extract` and `validate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from deepsalt.sites.samples import SampleRules

Samples = Annotated[
    Path,
    typer.Argument(
        metavar="SAMPLES",
        help="Field samples, CSV or Parquet: columns for id, lon, lat and EC, and if known unit, "
        "method, depth, date and position uncertainty.",
    ),
]
AnyDate = Annotated[
    bool,
    typer.Option(
        "--any-date", help="Match whatever the days between, samples without a date as well."
    ),
]
EcColumn = Annotated[
    str | None, typer.Option("--ec", metavar="COLUMN", help="Column of the EC. Default: by name.")
]
EcUnit = Annotated[
    str | None,
    typer.Option(
        "--ec-unit",
        "--unit",
        metavar="UNIT",
        help="Unit of the EC where the table states none: dS/m, mS/cm, mmho/cm, mS/m or uS/cm. "
        "Default: dS/m.",
    ),
]
EcMethod = Annotated[
    str,
    typer.Option(
        "--ec-method", "--method", help="Method of the EC where the table states none, as ECe."
    ),
]
SampleCrs = Annotated[
    str, typer.Option("--crs", help="CRS of the coordinates, such as EPSG:32644.")
]
MaxDepth = Annotated[
    float, typer.Option("--max-depth", help="Greatest depth of a surface layer's end, cm.")
]
MaxPosition = Annotated[
    float,
    typer.Option("--max-position", help="Greatest uncertainty of a position, metres, if stated."),
]


@dataclass(frozen=True)
class LabelOptions:
    """What the EC of samples is."""

    ec: EcColumn = None
    ec_unit: EcUnit = None
    ec_method: EcMethod = ""


@dataclass(frozen=True)
class PlaceOptions:
    """Where samples are, and which are near enough to the surface and well enough known."""

    crs: SampleCrs = "EPSG:4326"
    max_depth: MaxDepth = 30.0
    max_position: MaxPosition = 60.0


def rules_of(labels: LabelOptions, places: PlaceOptions) -> "SampleRules":
    """Return what a table of samples means."""
    from deepsalt.sites.samples import SampleRules

    return SampleRules(
        ec=labels.ec,
        unit=labels.ec_unit,
        method=labels.ec_method,
        crs=places.crs,
        ends_cm=places.max_depth,
        position_m=places.max_position,
    )
