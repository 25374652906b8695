"""GDAL without the formats whose files hold references instead of pixels.

A `.tif` may be a VRT inside: a few lines of XML that make GDAL read any local file into pixels and
contact any server. Naming the format on opening protects the file itself. Because GDAL may open
overviews or masks on its own, these formats are removed from the process.
"""

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

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
    """Remove these formats from GDAL, permanently, in this process.

    From the second call on this only reads a variable.

    Raises
    ------
    ReadError
        GDAL still has them.
    """
    if _done.is_set():
        return
    with _lock:
        if _done.is_set():  # by another thread meanwhile
            return
        registered = _in_a_thread(partial(_registered, {}))
        # rasterio 1.4 remembers that it registered formats; this has it done once more.
        rasterio._env._have_registered_drivers = False
        # GDAL obeys the setting while formats are registered, and warns of names it does not know.
        kept = _in_a_thread(partial(_registered, _also(registered)))
        if kept:
            raise ReadError(
                f"GDAL cannot be prevented from reading {', '.join(sorted(kept))}, whose files "
                f"refer to others; start deepsalt in its own process"
            )
        _done.set()


def _also(names: Iterable[str]) -> dict[str, str]:
    """Return the setting that makes GDAL skip formats, in addition to the environment's."""
    given = os.environ.get(_SKIP, "")
    apart = given.split("," if "," in given else None)  # as GDAL takes it apart
    return {_SKIP: ",".join(dict.fromkeys([*apart, *names]))}


def _registered(settings: Mapping[str, str]) -> set[str]:
    with rasterio.Env(**settings) as env:
        return set(FOLLOWERS) & set(env.drivers())


def _in_a_thread(work: Callable[[], set[str]]) -> set[str]:
    """Return what work returns where there is no Env: only then does rasterio start GDAL."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()
