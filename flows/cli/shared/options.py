"""Options that several verbs share, defined once so that they mean the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

from deepsalt.errors import UsageError
from flows.config import local_folder, place_of


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
Memory = Annotated[
    str | None,
    typer.Option(
        help="Memory of one worker, such as `4GB`. A run that needs more is refused. Default: an "
        "equal share of the memory."
    ),
]
Tls = Annotated[
    bool,
    typer.Option(
        "--tls",
        help="Encrypt and authenticate the traffic of --workers with certificates of this run.",
    ),
]
HostLimit = Annotated[
    list[str] | None,
    typer.Option(
        "--host-limit",
        metavar="HOST=N[,MB/s]",
        help="Maximum connections and MB/s to a host, for all workers together. May be repeated. "
        "Default: what its archive allows; 10 connections if unknown.",
    ),
]
HostShare = Annotated[
    float,
    typer.Option(
        "--host-share",
        help="Share of each host's limit that this run takes, 0 to 1, if several runs share a "
        "host.",
    ),
]
