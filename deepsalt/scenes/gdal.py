"""GDAL without the formats whose files hold references instead of pixels.

A `.tif` may be a VRT inside: a few lines of XML, for which GDAL reads any local file into pixels
and asks any server. Opening names the format, and that suffices for the file itself. For what GDAL
may open on its own account, an overview or a mask, these formats are taken out of the process.
"""

import os
import threading

import rasterio

from deepsalt.errors import ReadError

FOLLOWERS = (
    "VRT",
    "DERIVED",
    "GTI",
    "GDALG",
    "STACIT",
    "STACTA",
    "WMS",
    "WMTS",
    "WCS",
    "OGCAPI",
    "HTTP",
    "DAAS",
    "EEDA",
    "EEDAI",
    "NGW",
    "PLMOSAIC",
    "PLSCENES",
    "MRF",
    "TIL",
    "PRF",
    "ECRGTOC",
    "RPFTOC",
    "OZI",
    "MAP",
    "ERS",
    "KMLSUPEROVERLAY",
)
"""GDAL's raster formats, by driver name, that are made of references to files or servers."""

_SKIP = "GDAL_SKIP"
_lock = threading.Lock()
_done = threading.Event()


def forget_followers() -> None:
    """Take these formats out of GDAL, for good, in this process and those that it starts.

    Costs a look at a variable from the second call on.

    Raises
    ------
    ReadError
        GDAL has them all the same.
    """
    if _done.is_set():
        return
    with _lock:
        if _done.is_set():  # by another thread meanwhile
            return
        given = os.environ.get(_SKIP, "")
        apart = given.split("," if "," in given else None)  # as GDAL takes it apart
        os.environ[_SKIP] = ",".join(dict.fromkeys([*apart, *FOLLOWERS]))
        # GDAL obeys the setting while formats are registered, which somebody may have had done
        # already; then it is done once more. rasterio only starts GDAL in a thread without an Env.
        rasterio._env._have_registered_drivers = False
        kept: set[str] = set()
        starting = threading.Thread(target=lambda: kept.update(_registered()))
        starting.start()
        starting.join()
        if kept:
            raise ReadError(
                f"GDAL cannot be kept from reading {', '.join(sorted(kept))}, whose files lead to "
                "others; start deepsalt in a process of its own"
            )
        _done.set()


def _registered() -> set[str]:
    with rasterio.Env() as env:
        return set(FOLLOWERS) & set(env.drivers())
