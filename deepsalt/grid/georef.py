"""Georeferencing of the Zarr groups we write, both ways readers expect it.

CF `grid_mapping` (with the `GeoTransform` attribute GDAL reads) on a scalar variable
`spatial_ref`, and the GeoZarr conventions `proj` and `spatial` on the group. Identifiers and
versions of the conventions are pinned here: https://github.com/zarr-conventions, tags as of 2026.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import FormatError
from deepsalt.grid import cf_grid_mapping, parse_crs
from deepsalt.types import PixelGrid

if TYPE_CHECKING:
    import xarray as xr

GRID_MAPPING = "spatial_ref"
"""Name of the scalar variable that carries the CF grid mapping."""

CONVENTIONS = "zarr_conventions"
"""Name of the attribute that lists the conventions of a Zarr group."""

PROJ_CONVENTION = {
    "schema_url": "https://raw.githubusercontent.com/zarr-conventions/proj/refs/tags/v0.1/schema.json",
    "spec_url": "https://github.com/zarr-conventions/proj/blob/v0.1/README.md",
    "uuid": "f17cb550-5864-4468-aeb7-f3180cfb622f",
    "name": "proj",
    "description": "Coordinate reference system information for geospatial data",
}
SPATIAL_CONVENTION = {
    "schema_url": (
        "https://raw.githubusercontent.com/zarr-conventions/spatial/refs/tags/v0.1/schema.json"
    ),
    "spec_url": "https://github.com/zarr-conventions/spatial/blob/v0.1/README.md",
    "uuid": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
    "name": "spatial",
    "description": "Spatial coordinate information",
}


def group_attrs(grid: PixelGrid) -> dict[str, Any]:
    """Return the GeoZarr attributes of a group whose arrays end in (y, x)."""
    is_code = parse_crs(grid.crs).to_authority() is not None
    west, south, east, north = grid.bounds
    return {
        CONVENTIONS: [PROJ_CONVENTION, SPATIAL_CONVENTION],
        **({"proj:code": grid.crs} if is_code else {"proj:wkt2": parse_crs(grid.crs).to_wkt()}),
        "spatial:dimensions": ["y", "x"],
        "spatial:transform": list(grid.transform),
        "spatial:shape": [grid.height, grid.width],
        "spatial:bbox": [west, south, east, north],
        "spatial:registration": "pixel",
    }


def plain_attrs(attrs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the attributes of a group as netCDF can hold them too.

    The list of conventions, which speaks of the Zarr group alone, is left out, and yes and no are
    1 and 0.
    """
    return {
        name: int(value) if isinstance(value, bool) else value
        for name, value in attrs.items()
        if name != CONVENTIONS
    }


def grid_mapping_attrs(grid: PixelGrid) -> dict[str, Any]:
    """Return the attributes of `spatial_ref`: CF grid mapping, WKT and GDAL's GeoTransform."""
    a, b, c, d, e, f = grid.transform
    mapping = cf_grid_mapping(grid.crs)
    return {
        "long_name": "coordinate reference system and pixel grid",
        **mapping,
        "spatial_ref": mapping["crs_wkt"],
        "GeoTransform": " ".join(repr(float(value)) for value in (c, a, b, f, d, e)),
    }


def axis_attrs(axis: str) -> dict[str, str]:
    """Return the CF attributes of the coordinate `x` or `y`: pixel centres, metres."""
    return {
        "standard_name": f"projection_{axis}_coordinate",
        "long_name": f"{axis} of pixel centres",
        "units": "m",
        "axis": axis.upper(),
    }


def pixel_centers(grid: PixelGrid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centres of rows (y) and of columns (x), CRS units."""
    a, _, c, _, e, f = grid.transform
    y = f + e * (np.arange(grid.height, dtype=np.float64) + 0.5)
    x = c + a * (np.arange(grid.width, dtype=np.float64) + 0.5)
    return y, x


def pixel_grid_of(attrs: Mapping[str, Any]) -> PixelGrid:
    """Return the grid that `group_attrs` described.

    Raises
    ------
    FormatError
        The attributes do not describe one.
    """
    try:
        height, width = attrs["spatial:shape"]
        a, b, c, d, e, f = (float(value) for value in attrs["spatial:transform"])
        crs = attrs.get("proj:code") or attrs["proj:wkt2"]
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"a Zarr group carries no proj and spatial attributes that place it ({error!r})"
        ) from error
    return PixelGrid(str(crs), (a, b, c, d, e, f), int(height), int(width))


def grid_of_layers(layers: "xr.Dataset") -> PixelGrid:
    """Return the grid of layers (y, x), also of a part that was cut out, or of every nth pixel.

    The attributes place the whole that a part was cut from; `x` and `y` place what is left of it.

    Raises
    ------
    FormatError
        The attributes describe no grid, or the coordinates are missing or not evenly spaced.
    """
    whole = pixel_grid_of(layers.attrs)
    height, width = layers.sizes["y"], layers.sizes["x"]
    if (height, width) == (whole.height, whole.width):
        return whole
    if not {"x", "y"} <= set(layers.coords) or not height or not width:
        raise FormatError(
            f"these layers are {height} x {width} pixels of {whole.height} x {whole.width}, "
            "without coordinates x and y that place them; keep the coordinates"
        )
    a, b, _, d, e, _ = whole.transform
    steps = []
    for axis, step in (("x", a), ("y", e)):
        centers = np.asarray(layers[axis].values, dtype=np.float64)
        found = np.diff(centers)
        if found.size and not np.allclose(found, found[0], rtol=1e-6, atol=0):
            raise FormatError(f"the coordinate {axis} of these layers is not evenly spaced")
        step = float(found[0]) if found.size else step
        steps.append((step, float(centers[0]) - step / 2))
    (a, c), (e, f) = steps
    return PixelGrid(whole.crs, (a, b, c, d, e, f), height, width)
