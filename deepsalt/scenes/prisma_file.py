"""A PRISMA L2D file, read as the hostile input it may be: typed attributes, cubes and channels."""

from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import FormatError, ReadError

DETECTORS = ("VNIR", "SWIR")
SWATH = "HDFEOS/SWATHS/PRS_L2D_HCO"
MAX_NUMBER = 65535.0
"""Digital number that stands for `L2Scale...Max`."""


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
        The file is missing, truncated or not HDF5.
    """

    def __init__(self, href: str) -> None:
        self.name = href
        try:
            self.file = h5py.File(href, "r")
        except OSError as error:
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
        """Return a file attribute, text decoded; None where there is none."""
        value = self.file.attrs.get(name)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.item()
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    def attribute(self, name: str) -> Any:
        """Return a file attribute; FormatError where there is none."""
        value = self.optional(name)
        if value is None:
            raise FormatError(f"{self.name} has no attribute {name}; fetch the product again")
        return value

    def number(self, name: str) -> float:
        """Return an attribute as a finite number; FormatError where it is not."""
        try:
            value = float(np.asarray(self.attribute(name), dtype=np.float64).reshape(()))
        except (TypeError, ValueError) as error:
            raise FormatError(f"{self.name}: attribute {name} is not a number") from error
        if not np.isfinite(value):
            raise FormatError(f"{self.name}: attribute {name} is {value}, expected a number")
        return value

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return an attribute as finite numbers (n,); FormatError where it is not."""
        try:
            values = np.asarray(self.attribute(name), dtype=np.float64).ravel()
        except (TypeError, ValueError) as error:
            raise FormatError(f"{self.name}: attribute {name} is not a list of numbers") from error
        if not np.isfinite(values).all():
            raise FormatError(f"{self.name}: attribute {name} has values that are not finite")
        return values

    def time(self, name: str) -> datetime:
        """Return an attribute as a time, UTC; FormatError where it is not."""
        text = str(self.attribute(name)).strip()
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise FormatError(f"{self.name}: attribute {name} is {text!r}, not a time") from error
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def dataset(self, where: str) -> h5py.Dataset:
        """Return a dataset below the swath of the cubes; FormatError where there is none."""
        found = self.file.get(f"{SWATH}/{where}")
        if not isinstance(found, h5py.Dataset):
            raise FormatError(f"{self.name} has no {where}; fetch the product again")
        return found

    def cube(self, detector: str) -> h5py.Dataset:
        """Return the cube of a detector (row, band, column)."""
        return self.dataset(f"Data Fields/{detector}_Cube")

    def channels(self, detector: str) -> Channels:
        """Return the acquired channels of a detector; not acquired ones have centre 0."""
        word = detector.capitalize()
        center, fwhm = self.numbers(f"List_Cw_{word}"), self.numbers(f"List_Fwhm_{word}")
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
