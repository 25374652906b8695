"""GDAL without the formats whose files hold references instead of pixels.

A `.tif` may be a VRT inside: a few lines of XML, for which GDAL reads any local file into pixels
and asks any server. Opening names the format, and that suffices for the file itself. For what GDAL
may open on its own account, an overview or a mask, these formats are taken out of the process.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

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
    """Take these formats out of GDAL, for good, in this process.

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
        registered = _in_a_thread(_registered)
        # GDAL obeys the setting while formats are registered, and warns of names it does not know.
        with _skipping(registered):
            # rasterio 1.4 remembers that it registered formats; this has it done once more.
            rasterio._env._have_registered_drivers = False
            kept = _in_a_thread(_registered)
        if kept:
            raise ReadError(
                f"GDAL cannot be kept from reading {', '.join(sorted(kept))}, whose files lead to "
                "others; start deepsalt in a process of its own"
            )
        _done.set()


@contextmanager
def _skipping(names: Iterable[str]) -> Iterator[None]:
    """Name formats that GDAL is to skip, beside those that the environment names, for the block."""
    given = os.environ.get(_SKIP)
    apart = (given or "").split("," if given and "," in given else None)  # as GDAL takes it apart
    os.environ[_SKIP] = ",".join(dict.fromkeys([*apart, *names]))
    try:
        yield
    finally:
        os.environ.pop(_SKIP)
        if given is not None:
            os.environ[_SKIP] = given


def _registered() -> set[str]:
    with rasterio.Env() as env:
        return set(FOLLOWERS) & set(env.drivers())


def _in_a_thread(work: Callable[[], set[str]]) -> set[str]:
    """Return what work returns where there is no Env: only then does rasterio start GDAL."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()
