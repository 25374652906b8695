"""A PRISMA L2D file, read as untrusted input: typed attributes, cubes and channels.

HDF5 has four ways out of a file, all refused: links to objects of other files, on any part of a
path; external storage and virtual datasets, whose pixels lie in other files; and filters that are
loaded from a folder of plugins.
"""

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from mmap import ACCESS_READ, mmap
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from h5py import h5d, h5l, h5pl, h5z
from numpy.typing import NDArray

from deepsalt.errors import FormatError, ReadError
from deepsalt.inputs import open_regular, require_regular
from deepsalt.scenes.base import refuse_remote, utc_time

DETECTORS = ("VNIR", "SWIR")
SWATH = "HDFEOS/SWATHS/PRS_L2D_HCO"
MAX_NUMBER = 65535.0
"""Digital number that stands for `L2Scale...Max`."""

MAX_CHUNK_BYTES = 2**30
"""A chunk is decoded as a whole; delivered cubes have none, or chunks of a few MB."""

_LAYOUTS = frozenset({h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED})
_FILTERS = frozenset(
    {
        h5z.FILTER_DEFLATE,
        h5z.FILTER_SHUFFLE,
        h5z.FILTER_FLETCHER32,
        h5z.FILTER_SZIP,
        h5z.FILTER_NBIT,
        h5z.FILTER_SCALEOFFSET,
    }
)
"""Filters that are part of HDF5."""

_UNREADABLE = (OSError, RuntimeError, KeyError, TypeError, ValueError, OverflowError)
"""What h5py raises for damage, depending on its place in the file."""

# An unknown filter, which even the names in a group may have, makes HDF5 load every library that it
# finds in these folders.
while h5pl.size():
    h5pl.remove(0)


@dataclass(frozen=True, slots=True)
class Channels:
    """Acquired channels of one detector, by wavelength upwards (n channels).

    Parameters
    ----------
    detector
        One of `DETECTORS`.
    channel
        Positions along the band axis of the file.
    center_nm, fwhm_nm
        Centres and widths, nm.
    gain, offset
        Reflectance = digital number x gain + offset.
    """

    detector: str
    channel: NDArray[np.intp]
    center_nm: NDArray[np.float64]
    fwhm_nm: NDArray[np.float64]
    gain: float
    offset: float


class Product:
    """An open file; each error names it.

    Parameters
    ----------
    href
        Path of the he5 file.

    Raises
    ------
    ReadError
        The file is missing, truncated, not HDF5 or not a regular file.
    """

    def __init__(self, href: str) -> None:
        self.name = href
        self._datasets: dict[str, h5py.Dataset] = {}
        self._heaps_fit = False
        refuse_remote(href)
        try:
            require_regular(href)
            # Windows lie on chunks, so a cache per dataset would only take memory.
            self.file = h5py.File(href, "r", rdcc_nbytes=0)
        except _UNREADABLE as error:
            raise ReadError(
                f"{href} cannot be opened as HDF5: {error}; the file may be truncated, fetch it "
                "again"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.close()

    def optional(self, name: str) -> Any:
        """Return a file attribute, text decoded; None if there is none.

        Raises
        ------
        FormatError
            It is damaged.
        """
        with self._damage_named(f"attribute {name}"):
            if name not in self.file.attrs:
                return None
            kind = self.file.attrs.get_id(name).dtype
            if kind.hasobject:  # text of variable length, references, lists of lists
                if h5py.check_string_dtype(kind) is None:
                    raise FormatError(f"{self.name}: attribute {name} is neither number nor text")
                self._refuse_endless_heaps()
            value = self.file.attrs[name]
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.item()
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    def _refuse_endless_heaps(self) -> None:
        """Refuse damage in the heaps of variable-length texts, which makes HDF5 loop forever.

        HDF5 walks the objects of a heap by their sizes, and does not check that a size leads on.
        This reads the whole file, once, and only if a product has such texts.

        Raises
        ------
        FormatError
            An object of a heap is larger than the heap, or has no size.
        """
        if not self._heaps_fit:
            with (
                open_regular(self.name) as file,
                mmap(file.fileno(), 0, access=ACCESS_READ) as data,
            ):
                if not heaps_fit(data):
                    raise FormatError(
                        f"{self.name} has a damaged heap of texts; fetch the product again"
                    )
            self._heaps_fit = True

    def attribute(self, name: str) -> Any:
        """Return a file attribute; raise FormatError if there is none."""
        value = self.optional(name)
        if value is None:
            raise FormatError(f"{self.name} has no attribute {name}; fetch the product again")
        return value

    def number(self, name: str) -> float:
        """Return an attribute as a finite number; raise FormatError if it is not."""
        try:
            value = float(np.asarray(self.attribute(name), dtype=np.float64).reshape(()))
        except (TypeError, ValueError) as error:
            raise FormatError(f"{self.name}: attribute {name} is not a number") from error
        if not np.isfinite(value):
            raise FormatError(f"{self.name}: attribute {name} is {value}, expected a number")
        return value

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return an attribute as finite numbers (n,); raise FormatError if it is not."""
        try:
            values = np.asarray(self.attribute(name), dtype=np.float64).ravel()
        except (TypeError, ValueError) as error:
            raise FormatError(f"{self.name}: attribute {name} is not a list of numbers") from error
        if not np.isfinite(values).all():
            raise FormatError(f"{self.name}: attribute {name} has values that are not finite")
        return values

    def time(self, name: str) -> datetime:
        """Return an attribute as a time, UTC; raise FormatError if it is not."""
        text = str(self.attribute(name)).strip()
        moment = utc_time(text)
        if moment is None:
            raise FormatError(f"{self.name}: attribute {name} is {text[:60]!r}, not a time")
        return moment

    def dataset(self, where: str) -> h5py.Dataset:
        """Return a dataset below the swath of the cubes, whose values lie in this file.

        Raises
        ------
        FormatError
            There is none, it is reached over a link, lies in another file, holds no numbers, or
            needs a filter or a chunk that is not read.
        """
        if where not in self._datasets:
            with self._damage_named(where):
                self._datasets[where] = self._own_dataset(where)
        return self._datasets[where]

    def _own_dataset(self, where: str) -> h5py.Dataset:
        found: h5py.Group | h5py.Dataset = self.file
        path = ""
        for part in f"{SWATH}/{where}".split("/"):
            path = f"{path}/{part}"
            # Not `in`, which follows the link that is looked for, into other files as well.
            if not (isinstance(found, h5py.Group) and found.id.links.exists(part.encode())):
                raise FormatError(f"{self.name} has no {where}; fetch the product again")
            if found.id.links.get_info(part.encode()).type != h5l.TYPE_HARD:
                raise FormatError(
                    f"{self.name}: {path} is an external link, which a PRISMA product never has; "
                    f"fetch the product again"
                )
            found = found[part]
        if not isinstance(found, h5py.Dataset):
            raise FormatError(f"{self.name} has no {where}; fetch the product again")
        self._refuse_foreign(found, where)
        return found

    def _refuse_foreign(self, found: h5py.Dataset, where: str) -> None:
        made = found.id.get_create_plist()
        if made.get_layout() not in _LAYOUTS or made.get_external_count():
            raise FormatError(
                f"{self.name}: {where} has its values in other files, which a PRISMA product never "
                "has; fetch the product again"
            )
        filters = {made.get_filter(index)[0] for index in range(made.get_nfilters())}
        if unknown := filters - _FILTERS:
            raise FormatError(
                f"{self.name}: {where} needs filter {min(unknown)}, which is not part of HDF5; "
                "fetch the product again"
            )
        if found.dtype.kind not in "iuf":
            raise FormatError(f"{self.name}: {where} holds {found.dtype}, expected numbers")
        chunk_bytes = math.prod(found.chunks or (0,)) * found.dtype.itemsize
        if chunk_bytes > MAX_CHUNK_BYTES:
            raise FormatError(
                f"{self.name}: {where} has chunks of {chunk_bytes / 2**20:.0f} MiB; at most "
                f"{MAX_CHUNK_BYTES // 2**20} are read, fetch the product again"
            )

    @contextmanager
    def _damage_named(self, where: str) -> Iterator[None]:
        try:
            yield
        except _UNREADABLE as error:
            cause = " ".join(str(error).split())
            raise FormatError(
                f"{self.name}: {where} cannot be read ({cause}); fetch the product again"
            ) from error

    def cube(self, detector: str) -> h5py.Dataset:
        """Return the cube of a detector (row, band, column)."""
        return self.dataset(f"Data Fields/{detector}_Cube")

    def channels(self, detector: str) -> Channels:
        """Return the acquired channels of a detector; not acquired ones have centre 0."""
        word = detector.capitalize()
        center = self.numbers(f"List_Cw_{word}")
        fwhm = self.numbers(f"List_Fwhm_{word}")
        count = self.cube(detector).shape[1]
        if not center.size == fwhm.size == count:
            raise FormatError(
                f"{self.name} lists {center.size} centres and {fwhm.size} widths for the {count} "
                f"bands of {detector}_Cube; fetch the product again"
            )
        acquired = np.flatnonzero(center > 0)
        if not acquired.size or (np.diff(center[acquired]) >= 0).any():
            raise FormatError(
                f"{self.name}: wavelengths of {detector} do not run down, as PRISMA's do; "
                "fetch the product again"
            )
        low, high = (self.number(f"L2Scale{word}{end}") for end in ("Min", "Max"))
        if not high > low:
            raise FormatError(f"{self.name}: L2Scale{word} runs from {low:g} to {high:g}")
        up = acquired[::-1]
        return Channels(detector, up, center[up], fwhm[up], (high - low) / MAX_NUMBER, low)

    def shape(self) -> tuple[int, int, int]:
        """Return rows, bands of both detectors and columns."""
        cubes = [self.cube(detector) for detector in DETECTORS]
        for cube in cubes:
            if cube.ndim != 3 or cube.dtype != np.uint16:
                raise FormatError(
                    f"{self.name}: {cube.name} is {cube.dtype} {cube.shape}, expected uint16 "
                    "(row, band, column); fetch the product again"
                )
        (rows, vnir, columns), (rows_2, swir, columns_2) = (cube.shape for cube in cubes)
        if (rows, columns) != (rows_2, columns_2):
            raise FormatError(
                f"{self.name}: VNIR has {rows} x {columns} pixels, SWIR {rows_2} x {columns_2}"
            )
        return rows, vnir + swir, columns


_HEAP = b"GCOL\x01"
_HEAP_HEADER = 16
_OBJECT_HEADER = 16


def heaps_fit(data: mmap | bytes) -> bool:
    """Return whether the objects of each global heap of an HDF5 file lie in it, one after another.

    HDF5 file format specification, section III.E; offsets and lengths of 8 bytes, as PRISMA has.
    """
    begin = data.find(_HEAP)
    while begin >= 0:
        (size,) = struct.unpack_from("<Q", data[begin : begin + _HEAP_HEADER].ljust(16, b"\0"), 8)
        at = begin + _HEAP_HEADER
        end = min(begin + size, len(data))
        while at + _OBJECT_HEADER <= end:
            index, length = struct.unpack_from("<H6xQ", data, at)
            # The object 0 is free space, and its length includes its header.
            step = length if index == 0 else _OBJECT_HEADER + (length + 7) // 8 * 8
            if step < _OBJECT_HEADER or at + step > begin + size:
                return False
            at += step
        begin = data.find(_HEAP, begin + 1)
    return True
