"""Options of the verbs that read a table of field samples, `extract` and `validate`."""

from pathlib import Path
from typing import Annotated

import typer

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
