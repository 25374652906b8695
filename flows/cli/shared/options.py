"""Options that several verbs share, defined once so that they mean the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from deepsalt.errors import UsageError
from flows.cluster_profile import DEFAULT_PROFILE, ClusterProfile, read_profile
from flows.config import (
    Checks,
    Compute,
    Export,
    Grid,
    Politeness,
    Scratch,
    Selection,
    host_limits,
    local_folder,
    place_of,
)


def local(path: Path | None) -> Path | None:
    """Return a local path as given; refuse a URL."""
    return path and local_folder(path)


def _store(place: str) -> str:
    """Return a store's location in canonical form; refuse one in memory."""
    found = place_of(place)
    if found.startswith("memory:"):
        raise UsageError(f"{found} would be lost when this command ends; give {_PLACES}")
    return found


_PLACES = "a folder, or s3://bucket/prefix, gs://bucket/prefix, az://container/prefix"
Out = Annotated[
    str,
    typer.Option(
        "--out",
        callback=_store,
        metavar="STORE",
        help=f"Store to write to, created if missing: {_PLACES}.",
    ),
]
Store = Annotated[str, typer.Argument(callback=_store, metavar="STORE", help=f"Store: {_PLACES}.")]
Catalogue = Annotated[
    str, typer.Option("--catalogue", help="Folder of a STAC catalogue, or URL of a STAC API.")
]
Collections = Annotated[
    list[str] | None,
    typer.Option("--collection", help="STAC collection to search. May be repeated. Default: all."),
]
Bbox = Annotated[
    str | None,
    typer.Option(
        help="Area of interest: west, south, east, north, degrees, such as `83.9,40.8,84.1,40.95`."
    ),
]
Area = Annotated[Path | None, typer.Option(help="Area of interest: a GeoJSON file with polygons.")]
Datetime = Annotated[
    str | None,
    typer.Option(
        "--datetime", help="Date, or range such as `2024-04-01/2024-09-30` or `2024-04-01/..`, UTC."
    ),
]
MaxCloud = Annotated[
    float | None,
    typer.Option("--max-cloud", help="Maximum cloud cover of a scene, percent. Default: any."),
]
MaxQuality = Annotated[
    int,
    typer.Option(
        "--max-quality",
        help="Worst quality, as the provider rates it: 0 nominal, 1 reduced, 2 low.",
    ),
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="NAME[:PORT]",
        help="Also allow this host: another that serves the catalogue's pages, or one that "
        "serves files in a private network. May be repeated.",
    ),
]
Limit = Annotated[int | None, typer.Option(help="Maximum number of scenes. Default: all.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Model = Annotated[
    Path | None, typer.Option("--model", help="Model folder. Default: the shipped model.")
]
Crs = Annotated[
    str | None,
    typer.Option(
        help="Projected CRS of the mosaic. Default: the store's; EPSG:6933 for a new store."
    ),
]
Resolution = Annotated[
    float | None, typer.Option(help="Cell size, metres. Default: the store's; 30 for a new store.")
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Number of local worker processes. Default: threads in this process."),
]
MaxMissing = Annotated[
    float,
    typer.Option(help="Maximum share of a tile's measured pixels without an estimate, percent."),
]
MaxDefective = Annotated[
    float,
    typer.Option(help="Maximum share of pixels missing for no known reason, percent."),
]
MaxSalinity = Annotated[
    float | None,
    typer.Option(
        help="Maximum salinity, upper bound included, dS/m. Default: the model's own limit."
    ),
]
MaxAge = Annotated[
    float | None,
    typer.Option(help="Maximum age of the newest scene with an estimate, days. Default: any."),
]
MaxLost = Annotated[
    float,
    typer.Option(
        help="Maximum share of a tile's estimates that a version may lose, percent; one that loses "
        "more is held. 100: never."
    ),
]
MaxShift = Annotated[
    float,
    typer.Option(
        help="Maximum factor by which a tile's salinity may move from version to version; one that "
        "moves more is held."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, help="Chunks that a worker computes at a time. Default: an equal share of the cores."
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="cpu|cuda",
        help="Device to predict on. Workers that lack it warn and use their CPU.",
    ),
]
AllowMixed = Annotated[
    bool,
    typer.Option(
        "--allow-mixed",
        help="Allow products of different instruction sets or devices in one store; their last "
        "digits differ.",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(help="Address of a running Dask scheduler, such as `tcp://scheduler:8786`."),
]
ClusterKind = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="kubernetes",
        help="Make a Dask cluster on Kubernetes for this run, and remove it afterwards. The "
        "cluster is that of KUBECONFIG, or of the pod that this is. Implied by --cluster-profile.",
    ),
]
ClusterProfileFile = Annotated[
    Path | None,
    typer.Option(
        "--cluster-profile",
        metavar="FILE",
        callback=local,
        help="TOML file with the image and the groups of workers of --cluster. Default: "
        "~/deepsalt/cluster.toml.",
    ),
]
ScratchFolder = Annotated[
    Path | None,
    typer.Option(
        "--scratch",
        callback=local,
        help="Folder for the files of remote scenes being mapped, on the machine that maps them. "
        "Default: the system's temporary folder.",
    ),
]
ScratchGb = Annotated[
    float,
    typer.Option("--scratch-gb", help="Size of the scratch space, GB. It holds up to two scenes."),
]
Hold = Annotated[
    bool,
    typer.Option(
        "--hold", help="Hide the new version from readers until `deepsalt mosaic publish`."
    ),
]
ExportTo = Annotated[
    str | None,
    typer.Option(
        "--export",
        metavar="URI|none",
        help="Also write the published mosaic to this place as plain Zarr, like `deepsalt mosaic "
        "export`. Default: STORE/mosaic.zarr for a store in a folder, up to 2 GB.",
        show_default=False,
    ),
]
ExportKeep = Annotated[
    int | None,
    typer.Option(
        "--export-keep",
        min=1,
        help="Number of exported versions to keep in a bucket. Default: all.",
        show_default=False,
    ),
]
ByPrefect = Annotated[bool, typer.Option("--prefect", help="Run as a Prefect flow.")]


def parse_bbox(text: str | None) -> tuple[float, float, float, float] | None:
    """Return west, south, east, north, degrees.

    Raises
    ------
    UsageError
        The text is not four numbers.
    """
    if text is None:
        return None
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"--bbox is W,S,E,N in degrees, such as 83.9,40.8,84.1,40.95; found {text!r}"
        ) from None
    return west, south, east, north


def selection_of(
    catalogue: str,
    *,
    collection: list[str] | None = None,
    bbox: str | None = None,
    area: Path | None = None,
    datetime: str | None = None,
    max_cloud: float | None = None,
    max_quality: int = 1,
    limit: int | None = None,
    allow_host: list[str] | None = None,
) -> Selection:
    """Return the selection that these options describe.

    Raises
    ------
    UsageError
        Options contradict each other or are out of range.
    """
    if bbox is not None and area is not None:
        raise UsageError("--bbox and --area exclude each other; give one of them")
    try:
        return Selection(
            catalogue=catalogue,
            collections=tuple(collection or ()),
            bbox=parse_bbox(bbox),
            area=area,
            datetime=datetime,
            max_cloud_pct=max_cloud,
            max_quality=max_quality,
            limit=limit,
            allow_hosts=tuple(allow_host or ()),
        )
    except ValidationError as error:
        raise UsageError(explain(error)) from None


def checks_of(
    max_missing: float,
    max_defective: float,
    max_salinity: float | None,
    max_age: float | None,
    *,
    max_lost: float = 20.0,
    max_shift: float = 2.0,
) -> Checks:
    """Return the checks that these options describe.

    Raises
    ------
    UsageError
        A share is not a percentage, or a limit is negative.
    """
    try:
        return Checks(
            max_missing_pct=max_missing,
            max_defective_pct=max_defective,
            max_salinity_ds_m=max_salinity,
            max_age_days=max_age,
            max_lost_pct=max_lost,
            max_shift=max_shift,
        )
    except ValidationError as error:
        raise UsageError(explain(error)) from None


def scratch_of(folder: Path | None, limit_gb: float) -> Scratch:
    """Return the scratch space that these options describe.

    Raises
    ------
    UsageError
        The size is not positive.
    """
    try:
        return Scratch(folder=folder and folder.absolute(), limit_gb=limit_gb)
    except ValidationError as error:
        raise UsageError(explain(error)) from None


def export_of(to: str | None, keep: int | None) -> Export:
    """Return the export that these options describe.

    Raises
    ------
    UsageError
        The location cannot hold a mosaic, or contains credentials.
    """
    try:
        return Export(to=to, keep=keep)
    except ValidationError as error:
        raise UsageError(explain(error)) from None


def compute_of(
    workers: int | None,
    scheduler: str | None,
    *,
    threads: int | None = None,
    memory: str | None = None,
    device: str = "cpu",
    tls: bool = False,
    cluster: ClusterProfile | None = None,
) -> Compute:
    """Return the computing that these options describe.

    Raises
    ------
    UsageError
        More than one of workers, a scheduler and a cluster; TLS without workers; or a memory that
        is not a size.
    """
    if (workers is not None) + (scheduler is not None) + (cluster is not None) > 1:
        raise UsageError(
            "--workers, --scheduler and --cluster exclude each other; give one of them"
        )
    if cluster is not None and (threads is not None or memory is not None):
        raise UsageError(
            "--threads and --memory are those of this machine; give threads and memory in the "
            "groups of the cluster profile"
        )
    if tls and workers is None:
        raise UsageError(
            "--tls needs --workers; for a scheduler give its tls:// address, and its certificates "
            "in Dask's configuration"
        )
    try:
        return Compute.model_validate(
            {
                "workers": workers,
                "threads": threads,
                "memory": memory,
                "scheduler": scheduler,
                "device": device,
                "tls": tls,
                "cluster": cluster,
            }
        )
    except ValidationError as error:
        raise UsageError(explain(error)) from None


def profile_of(kind: str | None, profile: Path | None) -> ClusterProfile | None:
    """Return the profile of the cluster that these options describe; None without one.

    Raises
    ------
    UsageError
        Another kind of cluster, a profile for none, or one that cannot be read.
    """
    if kind is None and profile is None:
        return None
    if kind not in (None, "kubernetes"):
        raise UsageError(f"--cluster is kubernetes; found {kind!r}")
    return read_profile(profile or Path(DEFAULT_PROFILE).expanduser())


def politeness_of(limits: list[str] | None, share: float) -> Politeness:
    """Return the politeness that these options describe.

    Raises
    ------
    UsageError
        A limit is malformed, or the share is not between 0 and 1.
    """
    try:
        return Politeness(hosts=host_limits(limits or ()), share=share)
    except ValidationError as error:
        raise UsageError(explain(error)) from None


def grid_option(crs: str | None, resolution_m: float | None) -> Grid:
    """Return the grid that these options describe.

    Raises
    ------
    UsageError
        The cell size is not positive.
    """
    try:
        return Grid(crs=crs, resolution_m=resolution_m)
    except ValidationError as error:
        raise UsageError(explain(error)) from None


OPTIONS_OF_FIELDS = {
    "share": "--host-share",
    "allow_hosts": "--allow-host",
    "collections": "--collection",
    "limit_gb": "--scratch-gb",
    "max_age_days": "--max-age",
    "max_cloud_pct": "--max-cloud",
    "max_defective_pct": "--max-defective",
    "max_lost_pct": "--max-lost",
    "max_missing_pct": "--max-missing",
    "max_salinity_ds_m": "--max-salinity",
    "resolution_m": "--resolution",
    "folder": "--scratch",
    "keep": "--export-keep",
    "to": "--export",
}
"""Options named otherwise than their fields in the configuration, which carry units."""


def explain(error: ValidationError) -> str:
    """Return the first error of a refused configuration as one sentence that names the option."""
    first = error.errors()[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    option = OPTIONS_OF_FIELDS.get(field, f"--{field.replace('_', '-')}")
    return f"{option} cannot be {first['input']!r}: {first['msg'].lower()}"
