"""What `deepsalt check` looks at: files, checksums, values, georeferencing, links.

Every check yields findings instead of raising, so that one damaged file does not hide the next.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepsalt.errors import DeepsaltError
from deepsalt.georef import GRID_MAPPING, group_attrs, pixel_centers
from deepsalt.layers import MOSAIC_LAYERS
from deepsalt.products import is_complete, read_marker, verify_product
from deepsalt.store import Store, Version, current_version
from deepsalt.store.arrays import open_group
from deepsalt.store.files import sha256_of
from deepsalt.store.versions import TileManifest
from deepsalt.types import REJECTING, Basis

MAX_SALINITY_DS_M = 300.0
"""No soil reaches this: a saturated sodium chloride brine conducts about 250 dS/m at 25 degrees."""

Severity = Literal["error", "warning", "info"]
_KNOWN_BITS = np.uint16(sum(int(bit) for bit in Basis))
_REJECTING = np.uint16(REJECTING)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found.

    Parameters
    ----------
    severity
        ``error``: the store is not what it claims to be; ``warning``: leftovers, missing extras;
        ``info``: numbers worth knowing.
    where
        File, tile or product, relative to the store where possible.
    message
        One sentence: what was found and what to do.
    """

    severity: Severity
    where: str
    message: str


def check_store(path: str | Path) -> list[Finding]:
    """Check a store from its records to its pixels.

    Returns
    -------
    list of Finding
        Errors first; a sound store has none.
    """
    root = Path(path).absolute()
    try:
        store = Store.open(root)
        version = current_version(store)
    except DeepsaltError as error:
        return [Finding("error", str(path), str(error))]
    findings = [*_check_products(store), *_check_leftovers(store), *_check_catalogue(root)]
    if version is None:
        findings.append(Finding("warning", "mosaic.zarr", "no mosaic is published yet; build one"))
    else:
        findings += _check_version(store, version)
    order = ("error", "warning", "info")
    return sorted(findings, key=lambda finding: (order.index(finding.severity), finding.where))


def _check_products(store: Store) -> Iterator[Finding]:
    for path in sorted(store.scenes.glob("*.zarr")):
        where = f"scenes/{path.name}"
        if not is_complete(path):
            yield Finding("warning", where, "the product is unfinished; run its scene again")
            continue
        try:
            verify_product(path)
        except DeepsaltError as error:
            yield Finding("error", where, str(error))


def _check_leftovers(store: Store) -> Iterator[Finding]:
    for path in sorted(store.scenes.glob(".*~*")):
        yield Finding(
            "warning",
            f"scenes/{path.name}",
            "a write is going on or was interrupted; if nothing runs, remove the folder",
        )
    for path in sorted(store.versions.glob("*.building")):
        yield Finding(
            "warning",
            f"versions/{path.name}",
            "a build is going on or was interrupted; the next one with the same scenes resumes it",
        )


def _check_version(store: Store, version: Version) -> Iterator[Finding]:
    group = version.layout.group
    try:
        manifests = version.layout.tile_manifests()
        ds = open_group(group, chunked=False)
    except DeepsaltError as error:
        yield Finding("error", f"versions/{group.name}", str(error))
        return
    if store.mosaic.resolve() != group.resolve():
        yield Finding("error", "mosaic.zarr", f"the link does not lead to {group}; build again")
    yield from _check_tiles(store, version, manifests)
    yield from _check_georeferencing(version, ds)
    missing = [layer.name for layer in MOSAIC_LAYERS if layer.name not in ds]
    for name in missing:
        yield Finding("error", f"versions/{group.name}", f"layer {name} is missing; build again")
    if not missing:
        for manifest in manifests:
            yield from _check_shards(version, manifest)
            yield from _check_values(version, manifest, ds)


def _check_tiles(
    store: Store, version: Version, manifests: list[TileManifest]
) -> Iterator[Finding]:
    """Compare the tiles there are with those that the products touch, and files with both."""
    expected = set()
    for period, names in version.periods:
        for name in names:
            try:
                grid = read_marker(store.scenes / f"{name}.zarr").grid
            except DeepsaltError as error:
                yield Finding("error", f"scenes/{name}.zarr", str(error))
                continue
            expected |= {(period.id, tile) for tile in store.grid.tiles_over(grid)}
    found = {(manifest.period, manifest.tile) for manifest in manifests}
    for period_id, tile in sorted(expected - found):
        where = f"tile {tile.id} of period {period_id}"
        yield Finding("error", where, "scenes touch the tile but it was never made; build again")
    layout = version.layout
    known = {path for key in found for path in layout.shard_paths(*key).values()}
    for layer in MOSAIC_LAYERS:
        for path in sorted((layout.group / layer.name / "c").rglob("*")):
            if path.is_file() and path not in known:
                where = str(path.relative_to(store.path))
                yield Finding("error", where, "a shard that belongs to no tile; build again")


def _check_shards(version: Version, manifest: TileManifest) -> Iterator[Finding]:
    files = version.layout.shard_paths(manifest.period, manifest.tile)
    for name, digest in manifest.shards:
        path = files[name]
        where = f"{version.layout.group.name}/{path.relative_to(version.layout.group)}"
        if digest is None and path.exists():
            yield Finding("error", where, "the shard is declared empty but exists; build again")
        elif digest is not None and not path.is_file():
            yield Finding("error", where, "the shard is missing; restore it or build again")
        elif digest is not None and sha256_of(path) != digest:
            yield Finding(
                "error", where, "the shard is damaged (other checksum); restore it or build again"
            )


def _check_values(version: Version, manifest: TileManifest, ds: xr.Dataset) -> Iterator[Finding]:
    where = f"tile {manifest.tile.id} of period {manifest.period}"
    region = version.layout.region(manifest.tile)
    place = {
        "period": version.layout.periods.index(manifest.period),
        "y": slice(*region.y),
        "x": slice(*region.x),
    }
    try:
        tile = {layer.name: ds[layer.name].isel(place).values for layer in MOSAIC_LAYERS}
    except (OSError, ValueError, RuntimeError) as error:
        # Decoding a damaged shard; its checksum is reported by itself.
        yield Finding("error", where, f"the pixels cannot be read ({error}); build again")
        return
    for message, pixels in _contradictions(tile):
        if count := int(np.count_nonzero(pixels)):
            yield Finding("error", where, f"{count} pixels {message}; build again")
    share = np.isfinite(tile["salinity"]).mean()
    yield Finding("info", where, f"{share:.1%} of the pixels have an estimate")


def _contradictions(tile: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield what must never hold, with the pixels where it does."""
    salinity, basis, count = tile["salinity"], tile["basis"], tile["observations"]
    lower, upper = tile["salinity_lower"], tile["salinity_upper"]
    estimated = np.isfinite(salinity)
    ends = np.isfinite(lower) & np.isfinite(upper)
    rejected = (basis & _REJECTING) != 0
    yield "have an estimate without an interval or the reverse", estimated != ends
    yield "lie outside their interval", (lower > salinity) | (salinity > upper)
    yield "have negative salinity", lower < 0
    yield f"are above {MAX_SALINITY_DS_M:g} dS/m", salinity > MAX_SALINITY_DS_M
    yield "have an estimate although basis rejects them", estimated & rejected
    yield "have no estimate and no reason in basis", ~estimated & ~rejected
    yield "have unknown bits in basis", (basis & ~_KNOWN_BITS) != 0
    yield "have an estimate but no observation or the reverse", estimated != (count > 0)
    yield "have a date without an observation", ~np.isnat(tile["last_observed"]) & (count == 0)
    yield "disagree without two observations", np.isfinite(tile["disagreement"]) != (count > 1)


def _check_georeferencing(version: Version, ds: xr.Dataset) -> Iterator[Finding]:
    layout = version.layout
    where = f"versions/{layout.group.name}"
    grid = layout.grid.extent_grid(layout.extent)
    for name, value in group_attrs(grid).items():
        if ds.attrs.get(name) != value:
            yield Finding(
                "error", where, f"attribute {name} is {ds.attrs.get(name)!r}, expected {value!r}"
            )
    if "crs_wkt" not in ds.variables.get(GRID_MAPPING, xr.Variable((), 0)).attrs:
        yield Finding("error", where, f"variable {GRID_MAPPING} does not name the CRS (crs_wkt)")
    for axis, centers in zip("yx", pixel_centers(grid), strict=True):
        if axis not in ds or not np.array_equal(ds[axis].values, centers):
            yield Finding("error", where, f"coordinate {axis} does not hold the pixel centres")


def _check_catalogue(root: Path) -> Iterator[Finding]:
    """Follow the relative links of the STAC catalogue."""
    if not (root / "catalog.json").exists():
        yield Finding("warning", "catalog.json", "the store has no STAC catalogue; publish it")
        return
    seen, waiting = set[Path](), [root / "catalog.json"]
    while waiting:
        path = waiting.pop()
        seen.add(path)
        where = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
        try:
            document = json.loads(path.read_bytes())
            targets = _targets(document)
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            yield Finding("error", where, f"not a readable STAC document ({error}); publish again")
            continue
        for kind, href in targets:
            target = (path.parent / href).resolve()
            if not target.exists():
                yield Finding("error", where, f"{kind} leads to {href}, which does not exist")
            elif kind in {"link child", "link item"} and target not in seen:
                waiting.append(target)


def _targets(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the relative hrefs of a STAC document, each with what it is."""
    links = [(f"link {link['rel']}", str(link["href"])) for link in document.get("links", [])]
    assets = [
        (f"asset {name}", str(asset["href"])) for name, asset in document.get("assets", {}).items()
    ]
    return [
        (kind, href)
        for kind, href in links + assets
        if not urlsplit(href).scheme and not href.startswith(("/", "#"))
    ]
