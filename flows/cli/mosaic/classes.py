"""The verb `mosaic classes`."""

import json
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from deepsalt.errors import FormatError
from flows.cli.shared.options import Json, Store, local
from flows.cli.shared.text import share

if TYPE_CHECKING:
    import xarray as xr

app = typer.Typer()

_ROWS = 1024
"""Rows of classes that are counted at once."""


@app.command(
    epilog="Example: `deepsalt mosaic classes store usda.zarr --scheme usda --convert 7.5,0.3`"
)
def classes(
    store: Store,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", callback=local, help="Folder to write, plain Zarr v3.")
    ],
    scheme: Annotated[
        str, typer.Option(help="Whose classes: usda, fao-1988 or fao-2006.")
    ] = "usda",
    convert: Annotated[
        str | None,
        typer.Option(
            metavar="FACTOR,SD_LOG",
            help="From the map's method to ECe: a factor, and the standard deviation of the "
            "logarithm of its error, such as `7.5,0.3`.",
        ),
    ] = None,
    version: Annotated[
        str | None, typer.Option(metavar="ID", help="Version. Default: the published.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write salinity classes of ECe, and the probabilities of exceeding their limits.

    Takes a store, or an export of its mosaic. A map of another method needs --convert, whose error
    is integrated into the probabilities; one whose method is mixed or unknown has no classes.
    """
    from deepsalt.conductivity import Conversion
    from deepsalt.plot import ece_classes
    from deepsalt.reading import open_mosaic

    if out.exists():
        raise FormatError(f"{out} exists; remove it, or give another name")
    if not out.absolute().parent.is_dir():
        raise FormatError(f"the folder of {out} does not exist; create it first")
    given = None if convert is None else Conversion.parse(convert)
    pair = None if given is None else (given.factor, given.sd_log)
    found = ece_classes(open_mosaic(store, version=version), scheme, convert=pair)
    _write(found, out)
    facts = _facts(found, out)
    typer.echo(json.dumps(facts) if as_json else "\n".join(_lines(facts, out)))


def _write(found: "xr.Dataset", out: Path) -> None:
    """Write all of it, or nothing."""
    from deepsalt.objects.disk import storing

    with storing(out), TemporaryDirectory(dir=out.absolute().parent) as folder:
        made = Path(folder) / "classes.zarr"
        with warnings.catch_warnings():
            # Without it, xarray warns whoever opens the group; zarr warns whoever writes it.
            warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
            found.to_zarr(made, zarr_format=3, consolidated=True)
        made.rename(out)


def _facts(found: "xr.Dataset", out: Path) -> dict[str, object]:
    """Return what was written as plain JSON values."""
    import xarray as xr

    attrs = found["ece_class"].attrs
    told = ("scheme", "limits", "converted_from", "conversion_factor", "conversion_sd_log")
    names = dict(zip(attrs["flag_values"].tolist(), attrs["flag_meanings"].split(), strict=True))
    with xr.open_zarr(out, chunks=None) as written:
        return {
            "out": str(out),
            **{name: attrs[name] for name in told if name in attrs},
            "simulated": bool(found.attrs.get("simulated", False)),
            "periods": [
                {
                    "period": str(day.values.astype("datetime64[D]")),
                    "pixels": _counts(written["ece_class"].sel(period=day), names),
                }
                for day in written["period"]
            ],
        }


def _counts(layer: "xr.DataArray", names: dict[int, str]) -> dict[str, int]:
    """Return the pixels of each class."""
    counts = np.zeros(256, np.int64)
    for row in range(0, layer.sizes["y"], _ROWS):
        part = layer.isel(y=slice(row, row + _ROWS)).values
        counts += np.bincount(part.ravel(), minlength=counts.size)
    return {name: int(counts[value]) for value, name in names.items()}


def _lines(facts: dict[str, object], out: Path) -> list[str]:
    """Return the share of each class, and how to open them."""
    lines = ["the scenes are SIMULATED"] if facts["simulated"] else []
    for each in facts["periods"]:  # type: ignore[attr-defined] # a list, as `_facts` made it
        estimated = sum(each["pixels"].values())
        lines.append(f"{each['period']}: {estimated} pixels with an estimate")
        width = max(len(name) for name in each["pixels"])
        lines += [
            f"  {name.replace('_', ' '):<{width}}  {count:>10}  {share(count, estimated):>7}"
            for name, count in each["pixels"].items()
        ]
    return [*lines, f"next: xarray.open_zarr({str(out)!r})"]
