"""Cells of the benchmark: one row on one split, kept on disk, so that a stopped run resumes."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from deepsalt import __version__
from deepsalt.benchmark.data import (
    Design,
    World,
    draw_sites,
    draw_tests,
    draw_training,
    simulate_world,
)
from deepsalt.benchmark.rows import CEILINGS, Answer, Budget, Row
from deepsalt.documents import replacing
from deepsalt.progress import Progress
from deepsalt.train.data.samples import Samples, stack
from deepsalt.train.data.splits import Fold

logger = logging.getLogger(__name__)

KNOWN = "known regions"
UNSEEN = "unseen regions"


@dataclass(frozen=True, slots=True, eq=False)
class SplitAnswers:
    """Answers of one row on all scored rows of one split (s).

    Parameters
    ----------
    part
        ``real`` or ``simulated``.
    split
        Held-out part.
    row
        Name of the row.
    view
        View of the spectra.
    size
        Satellite sites it was trained on; 0 in the real part.
    observed, group, fold
        Labels, dS/m; names for the bootstrap; number of fold or seed (s,).
    answer
        Result of the row.
    """

    part: str
    split: str
    row: str
    view: str
    size: int
    observed: NDArray[np.float64]
    group: NDArray[np.str_]
    fold: NDArray[np.intp]
    answer: Answer


def digest_of(samples: Samples) -> str:
    """Return a digest of spectra, labels and names (hexadecimal)."""
    digest = hashlib.sha256(np.ascontiguousarray(samples.features).tobytes())
    for values in (samples.snv, samples.ec, samples.group, samples.region, samples.view):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def cell(
    folder: Path, row: Row, budget: Budget, place: Sequence[object], compute: Callable[[], Answer]
) -> Answer:
    """Return a cell's answers from the cache, or compute and keep them.

    Parameters
    ----------
    folder
        Of the cells.
    row, budget
        The method; rows that differ in name only share their cells.
    place
        Digest of the data, split, fold, seed, size: what else decides the answer.
    compute
        Called where the cell is not there, or was cut off.
    """
    known = kept_cell(folder, row, budget, place)
    if known is not None:
        return known
    answer = compute()
    path = _path(folder, row, budget, place)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as part:
        np.savez(part, **answer)  # type: ignore[arg-type]  # its stub takes names for options
    return answer


def kept_cell(folder: Path, row: Row, budget: Budget, place: Sequence[object]) -> Answer | None:
    """Return a cell's answers from the cache; None if it is not there, or was cut off."""
    try:
        with (
            _path(folder, row, budget, place).open("rb") as file,
            np.load(file, allow_pickle=False) as known,
        ):
            return {name: known[name] for name in known.files}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile):
        return None


def _path(folder: Path, row: Row, budget: Budget, place: Sequence[object]) -> Path:
    method = f"{row.fit.__module__}.{row.fit.__qualname__}"
    text = repr((__version__, method, row.settings, budget.published, *place))
    return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.npz"


def real_blocks(
    folder: Path,
    samples: Samples,
    folds: dict[str, list[Fold]],
    rows: Sequence[Row],
    *,
    budget: Budget,
    progress: Progress,
) -> list[SplitAnswers]:
    """Return the blocks of the part on real spectra; `progress` hears of each finished cell."""
    digest = digest_of(samples)
    blocks = []
    for split, parts in folds.items():
        for row in rows:
            mine = replace(budget, settings=row.settings)
            answers = []
            for number, (train, test) in enumerate(parts):
                answers.append(
                    cell(
                        folder,
                        row,
                        budget,
                        (digest, split, len(parts), number),
                        lambda train=train, test=test, row=row, mine=mine: row.fit(  # type: ignore[misc]
                            samples.take(train), samples.take(test), mine
                        ),
                    )
                )
                progress.advance("cells")
                logger.info("%s, %s, fold %d of %d", split, row.name, number + 1, len(parts))
            blocks += _by_view(samples, split, row, parts, answers)
    return blocks


def _by_view(
    samples: Samples, split: str, row: Row, folds: Sequence[Fold], answers: Sequence[Answer]
) -> list[SplitAnswers]:
    order = np.concatenate([test for _, test in folds])
    fold = np.concatenate([np.full(len(test), i) for i, (_, test) in enumerate(folds)])
    whole = joined(answers)
    seen = samples.take(order)
    names = seen.group if split == "unseen profiles" else seen.region
    found = []
    for view in dict.fromkeys(samples.view.tolist()):
        rows = seen.view == view
        answer = {k: v[rows] if v.shape == rows.shape else v for k, v in whole.items()}
        found.append(
            SplitAnswers(
                "real", split, row.name, view, 0, seen.ec[rows], names[rows], fold[rows], answer
            )
        )
    return found


def joined(answers: Sequence[Answer]) -> Answer:
    """Return answers one after another; scalars become one value per part."""
    return {
        name: np.concatenate([np.atleast_1d(answer[name]) for answer in answers])
        for name in answers[0]
    }


def simulated_blocks(
    folder: Path, design: Design, rows: Sequence[Row], *, budget: Budget, progress: Progress
) -> tuple[list[SplitAnswers], dict[str, str]]:
    """Return the blocks of the simulated part, and the worlds' digests."""
    answers: dict[tuple[int, str], list[Answer]] = {}
    tests: list[tuple[Samples, int]] = []
    digests = {}
    for seed in range(design.seeds):
        world = simulate_world(design, seed)
        digests[f"simulated, seed {seed}"] = world.digest()
        parts = [draw_tests(pairs, budget.settings) for pairs in (world.known, world.unseen)]
        test = stack(parts)
        tests.append((test, len(parts[0])))
        for size in design.sizes:
            found = _one_size(
                folder, world, test, rows, (seed, size), budget=budget, progress=progress
            )
            for name, answer in found.items():
                answers.setdefault((size, name), []).append(answer)
    return _by_region(answers, tests), digests


def _one_size(
    folder: Path,
    world: World,
    test: Samples,
    rows: Sequence[Row],
    place: tuple[int, int],
    *,
    budget: Budget,
    progress: Progress,
) -> dict[str, Answer]:
    seed, size = place
    views = draw_training(draw_sites(world.pool, size, seed), world.library, budget.settings)
    ceiling = draw_training(draw_sites(world.ceiling, size, seed), world.library, budget.settings)
    digest = world.digest()
    found = {}
    for row in rows:
        mine = replace(budget, settings=row.settings)
        known = ceiling if row.name in CEILINGS else views
        found[row.name] = cell(
            folder,
            row,
            budget,
            (digest, size, row.name in CEILINGS),
            lambda row=row, known=known, mine=mine: row.fit(known, test, mine),  # type: ignore[misc]
        )
        progress.advance("cells")
        logger.info("seed %d, %d sites, %s", seed, size, row.name)
    return found


def _by_region(
    answers: dict[tuple[int, str], list[Answer]], tests: Sequence[tuple[Samples, int]]
) -> list[SplitAnswers]:
    observed = np.concatenate([test.ec for test, _ in tests])
    seed = np.concatenate([np.full(len(test), i) for i, (test, _) in enumerate(tests)])
    group = np.concatenate(
        [np.char.add(f"seed {i}, ", test.region) for i, (test, _) in enumerate(tests)]
    )
    known = np.concatenate([np.arange(len(test)) < first for test, first in tests])
    blocks = []
    for (size, name), parts in answers.items():
        whole = joined(parts)
        for split, rows in ((KNOWN, known), (UNSEEN, ~known)):
            if name in CEILINGS and split == KNOWN:
                continue
            answer = {k: v[rows] if v.shape == rows.shape else v for k, v in whole.items()}
            blocks.append(
                SplitAnswers(
                    "simulated",
                    split,
                    name,
                    "SIMULATED enmap",
                    size,
                    observed[rows],
                    group[rows],
                    seed[rows],
                    answer,
                )
            )
    return blocks
