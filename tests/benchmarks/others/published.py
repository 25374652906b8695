"""The published student in place of ours, on the same cube."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from deepsalt.access import Reach
from deepsalt.benchmark.published.method import Published, PublishedConfig, fit_published
from deepsalt.cube.load import open_scene
from deepsalt.cube.quality import mark_valid
from deepsalt.fetch import Fetcher, ScratchSpace
from deepsalt.layers import CHANCE, CHANCE_FILL
from deepsalt.predict.cube import RESULT
from deepsalt.spectral.transform import common_nm, fill_missing
from deepsalt.train.data.samples import features_of
from deepsalt.types import REJECTING, Acquisition, BandTable
from tests.benchmarks.others.floor import scaling_of, write_bare
from tests.benchmarks.rows import Run

_ROWS = 2048  # spectra at a time, as the published student takes them
_EC_SHIFT = 0.03


@contextmanager
def with_published() -> Iterator[Run]:
    """Map a scene with our fetching, reading and masks and the published student."""
    here = Reach(networks=frozenset({"loopback"}))

    def fetch_and_map(acquisition: Acquisition, out: Path) -> None:
        with fetcher.local(acquisition) as local:
            map_published(local, out)

    with Fetcher(ScratchSpace(None, 10**10), reach=here) as fetcher:
        yield fetch_and_map


def map_published(acquisition: Acquisition, out: Path) -> None:
    """Estimate with the published student what ours estimates; it has no interval."""
    cube = mark_valid(open_scene(acquisition))
    quality_flags = cube.quality_flags.data
    result = da.map_blocks(
        published_chunk,
        cube.dn.data,
        quality_flags,
        model=published(),
        scaling=scaling_of(acquisition),
        dtype=RESULT,
        drop_axis=0,
        chunks=quality_flags.chunks,
        meta=np.empty((0, 0), RESULT),
    )
    write_bare(out, result.compute(scheduler="threads"))


@cache
def published() -> Published:
    """Return the published student of full size after one step: speed is not learned."""
    rng = np.random.default_rng(0)
    spectra = rng.normal(size=(300, common_nm().size)).astype(np.float32)
    labels = rng.normal(size=300).astype(np.float32)
    pairs = np.zeros((0, 2), dtype=np.intp)
    config = PublishedConfig(encoder_steps=1, teacher_steps=1, student_steps=1)
    return fit_published(spectra, labels, spectra, labels, pairs, config=config)


def published_chunk(
    dn: NDArray[np.integer[Any]],
    quality_flags: NDArray[np.uint16],
    *,
    model: Published,
    scaling: dict[str, Any],
) -> NDArray[np.void]:
    """Predict one chunk with the published student, as `predict_chunk` does with ours."""
    found = np.empty(quality_flags.size, RESULT)
    for name in RESULT.names or ():
        if name != "quality_flags":
            found[name] = CHANCE_FILL if name == CHANCE else np.nan
    found["quality_flags"] = quality_flags.reshape(-1)
    chosen = np.flatnonzero((found["quality_flags"] & int(REJECTING)) == 0)
    pixels = dn.reshape(dn.shape[0], -1)
    for start in range(0, chosen.size, _ROWS):
        part = chosen[start : start + _ROWS]
        spectra = _common_bands(pixels[:, part], **scaling)
        found["salinity"][part] = np.exp(model.predict(spectra)) - _EC_SHIFT
    return found.reshape(quality_flags.shape)


def _common_bands(
    numbers: NDArray[np.integer[Any]],
    bands: BandTable,
    gain: tuple[float, ...],
    offset: tuple[float, ...],
    nodata: float | None,
) -> NDArray[np.float32]:
    """Return the standardised spectra (s, common bands) of digital numbers (band, s)."""
    values = numbers.astype(np.float32)
    values *= np.array(gain, np.float32)[:, None]
    values += np.array(offset, np.float32)[:, None]
    usable = np.array(bands.usable)
    missing = (numbers == nodata) & usable[:, None]
    fill_missing(values, missing, np.array(bands.centers_nm))
    return np.nan_to_num(features_of(np.ascontiguousarray(values.T), bands)[1])
