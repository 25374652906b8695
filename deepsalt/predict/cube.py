"""Prediction: numpy in and out for one chunk, lazy over a cube, plain over spectra.

One path for all three: `FoldedStudent.estimate` on the pixels that no REJECTING bit takes out.
Graphs carry a `ModelRef`; each process loads the weights once.
"""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepsalt.cube.contract import check_cube, cube_bands, map_chunks
from deepsalt.errors import FormatError
from deepsalt.layers import (
    CHANCE,
    CHANCE_ATTRS,
    CHANCE_FILL,
    CHANCE_STEP,
    SCENE_LAYERS,
    THRESHOLD,
    THRESHOLD_ATTRS,
    THRESHOLDS_DS_M,
    quality_flags_attrs,
    salinity_attrs,
)
from deepsalt.model.device import Estimator, on_device
from deepsalt.model.folded import fold
from deepsalt.model.load import load_student, model_card
from deepsalt.types import REJECTING, BandTable, ModelRef, QualityFlag

RESULT = np.dtype(
    [
        ("salinity", np.float32),
        ("salinity_lower", np.float32),
        ("salinity_upper", np.float32),
        (CHANCE, np.uint16, len(THRESHOLDS_DS_M)),
        ("quality_flags", np.uint16),
    ]
)
"""Prediction per pixel: the layers of a scene product as one structured type."""

SPECTRA_RESULT = np.dtype(
    [
        *((name, np.float32) for name in ("salinity", "salinity_lower", "salinity_upper")),
        (CHANCE, np.float32, len(THRESHOLDS_DS_M)),
        ("quality_flags", np.uint16),
        ("domain_score", np.float32),
    ]
)
"""Prediction per spectrum: also its domain score, and probabilities as numbers from 0 to 1; NaN
wherever salinity is."""


def predict_chunk(
    dn: NDArray[np.generic],
    quality_flags: NDArray[np.uint16],
    *,
    bands: BandTable,
    gain: tuple[float, ...],
    offset: tuple[float, ...],
    nodata: float | None,
    ref: ModelRef,
    device: str = "cpu",
) -> NDArray[np.void]:
    """Predict one chunk.

    Parameters
    ----------
    dn
        Digital numbers in the stored dtype (band, y, x).
    quality_flags
        `QualityFlag` bits (y, x); pixels with a REJECTING bit are not estimated.
    bands
        Bands of `dn` (n).
    gain, offset
        Reflectance = digital number x gain + offset, per band (n,).
    nodata
        Number that means "no measurement"; None if there is none.
    ref
        The model.
    device
        ``cpu`` or ``cuda``.

    Returns
    -------
    NDArray[np.void]
        `RESULT` (y, x); NaN where not estimated. A pixel whose bands cannot be completed gains
        DEFECTIVE.

    Raises
    ------
    FormatError
        The usable bands leave a range uncovered that the model needs.
    ModelError
        The model's files are missing, unreadable or disagree.
    """
    student = on_device(fold(load_student(ref), bands, gain, offset), device)
    flat = np.asarray(quality_flags).reshape(-1)
    result = _predict(student, dn.reshape(dn.shape[0], -1), flat, nodata, RESULT)
    return result.reshape(quality_flags.shape)


def _predict(
    student: Estimator,
    pixels: NDArray[np.generic],
    quality_flags: NDArray[np.uint16],
    nodata: float | None,
    kind: np.dtype[np.void],
) -> NDArray[np.void]:
    """Return predictions of this kind (s,) for digital numbers (band, s) and their flags (s,)."""
    result = _unestimated(quality_flags, kind)
    chosen = np.flatnonzero((quality_flags & int(REJECTING)) == 0)
    if chosen.size:
        if chosen.size < quality_flags.size:
            pixels = pixels.take(chosen, axis=1)  # in a tenth of the time of pixels[:, chosen]
        estimates = student.estimate(pixels, nodata)
        result["salinity"][chosen] = estimates.salinity
        result["salinity_lower"][chosen] = estimates.lower
        result["salinity_upper"][chosen] = estimates.upper
        result[CHANCE][chosen] = _stored(estimates.chances.T, kind[CHANCE].base)
        lost = np.isnan(estimates.salinity) * np.uint16(QualityFlag.DEFECTIVE)
        result["quality_flags"][chosen] |= estimates.flags | lost
        if "domain_score" in (kind.names or ()):
            result["domain_score"][chosen] = estimates.domain_score
    return result


def _stored(chance: NDArray[np.float32], kind: np.dtype[Any]) -> NDArray[np.generic]:
    """Return probabilities rounded to `CHANCE_STEP`: as whole steps where integers are stored."""
    steps = np.rint(chance / np.float32(CHANCE_STEP))
    if kind != np.uint16:
        # A quotient is the number nearest to four decimals, a product is not.
        rounded: NDArray[np.float32] = steps / np.float32(1.0 / CHANCE_STEP)
        return rounded
    return np.where(np.isnan(steps), CHANCE_FILL, steps).astype(np.uint16)


def _unestimated(quality_flags: NDArray[np.uint16], kind: np.dtype[np.void]) -> NDArray[np.void]:
    result = np.empty(quality_flags.shape, dtype=kind)
    for name in kind.names or ():
        fill = CHANCE_FILL if kind[name].base == np.uint16 else np.nan
        result[name] = quality_flags if name == "quality_flags" else fill
    return result


def predict_spectra(
    reflectance: NDArray[np.floating],
    bands: BandTable,
    ref: ModelRef,
    quality_flags: NDArray[np.uint16] | None = None,
) -> NDArray[np.void]:
    """Predict spectra given by row.

    Parameters
    ----------
    reflectance
        Reflectance (s, n); NaN = missing.
    bands
        Their bands (n).
    ref
        The model.
    quality_flags
        `QualityFlag` bits (s,). Default: estimate all.

    Returns
    -------
    NDArray[np.void]
        `SPECTRA_RESULT` (s,).

    Raises
    ------
    FormatError
        The usable bands leave a range uncovered that the model needs.
    ModelError
        The model's files are missing, unreadable or disagree.
    """
    pixels = np.ascontiguousarray(np.asarray(reflectance).T)
    flags = np.zeros(pixels.shape[1], dtype=np.uint16) if quality_flags is None else quality_flags
    return _predict(fold(load_student(ref), bands), pixels, flags, None, SPECTRA_RESULT)


def predict_cube(cube: xr.Dataset, ref: ModelRef, *, device: str = "cpu") -> xr.Dataset:
    """Predict a cube lazily, chunk by chunk.

    Parameters
    ----------
    cube
        From `mark_valid(open_scene(...))`: `dn` (band, y, x) with all bands in one chunk,
        `quality_flags` (y, x).
    ref
        The model; the graph holds this reference, not the weights.
    device
        Device to predict on, ``cpu`` or ``cuda``; workers that lack it use their CPU.

    Returns
    -------
    xr.Dataset
        `salinity`, `salinity_lower`, `salinity_upper` (float32, dS/m) and `quality_flags` (uint16),
        dims (y, x); `p_above` (threshold, y, x; uint16, as stored: `xarray.decode_cf` gives
        probabilities). With the cube's chunks, x, y and spatial_ref, and `threshold`, dS/m.

    Raises
    ------
    FormatError
        It is not a cube, lacks `quality_flags`, or its bands do not cover what the model needs.
    ModelError
        The card is missing or malformed.

    Examples
    --------
    >>> import deepsalt
    >>> cube = deepsalt.mark_valid(deepsalt.open_scene(deepsalt.read_acquisition("enmap-scene")))
    >>> layers = deepsalt.predict_cube(cube, deepsalt.model_ref())
    >>> list(layers.data_vars)[:4]
    ['salinity', 'salinity_lower', 'salinity_upper', 'p_above']
    """
    check_cube(cube)
    if "quality_flags" not in cube:
        scene = cube.attrs.get("scene_id", "cube")
        raise FormatError(
            f"{scene} has no quality_flags layer; call mark_valid(cube) before predict_cube"
        )
    card = model_card(ref)
    nodata = cube["dn"].attrs.get("nodata")
    bands = cube_bands(cube)
    gain, offset = (tuple(cube[name].values.tolist()) for name in ("gain", "offset"))
    # Refused now, not in a worker an hour later.
    fold(load_student(ref), bands, gain, offset)
    predict = partial(
        predict_chunk,
        bands=bands,
        gain=gain,
        offset=offset,
        nodata=None if nodata is None else float(nodata),
        ref=ref,
        device=device,
    )
    dn = cube["dn"].data
    quality_flags = cube["quality_flags"].data
    result = map_chunks(predict, dn, quality_flags, name="predict_chunk", dtype=RESULT)
    known = {name: [getattr(each, name) for each in card.chances] for name in CHANCE_ATTRS}
    attrs = salinity_attrs(card.ec_method, card.depth, card.temperature, known)
    attrs["quality_flags"] = quality_flags_attrs()
    coords = {name: cube.coords[name] for name in ("y", "x", "spatial_ref") if name in cube.coords}
    coords[THRESHOLD] = xr.DataArray(
        np.array(THRESHOLDS_DS_M), dims=THRESHOLD, attrs=dict(THRESHOLD_ATTRS)
    )
    data = {name: result[name] for name in RESULT.names or ()}
    data[CHANCE] = np.moveaxis(data[CHANCE], -1, 0)
    return xr.Dataset(
        {layer.name: (layer.dims, data[layer.name], attrs[layer.name]) for layer in SCENE_LAYERS},
        coords=coords,
        attrs=dict(cube.attrs),
    )
