"""The page that a soil scientist reads in five minutes, and the tables behind it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from deepsalt.benchmark.confirmation.verdict import (
    AIM,
    MOST_COST,
    NEEDED,
    POOLED,
    WITHIN,
    Scored,
    Verdict,
    judge,
)
from deepsalt.benchmark.confirmation.worlds import WORLDS, confirmation_worlds
from deepsalt.benchmark.rows import CONTROL_PAIRS, CONTROL_TEACHER, PRODUCT
from deepsalt.types import Floats

About = dict[str, str]

_NAMES = {"enmap": "EnMAP", "prisma": "PRISMA"}
_REHEARSED = "rehearsal: nothing is claimed"


def page(results: Sequence[Scored], about: About, *, rehearsal: bool) -> str:
    """Return the page.

    Parameters
    ----------
    results
        Scores of all cells.
    about
        Command, version, digests of worlds and sources.
    rehearsal
        Whether the worlds are development worlds, of which nothing may be claimed.
    """
    verdicts = _verdicts(results)
    kind = "REHEARSAL on development worlds" if rehearsal else "confirmation"
    count = len(verdicts[0].lead)
    lines = [
        f"# Does a laboratory library help a satellite map? ({kind}, SIMULATED)",
        "",
        "**The question.** You have 30 to 120 soil samples with satellite spectra, and a library "
        "of laboratory spectra. How much better is the map, in regions where you have no sample, "
        "than the best model of satellite spectra alone? The aim is a lead of "
        f"{AIM:+.2f} in R² of log(1 + EC).",
        "",
        f"**The test.** {count} SIMULATED worlds, each with regions that have samples, as many "
        "that have none, and a library of other regions. Rivals are PLS, kernel machines, trees, "
        "networks, salinity indices, the mean, and deepsalt on the sites alone. The rival of a "
        "world is the one that is best on its scored sites, so that the choice favours the rival. "
        f"A gain is claimed if the product leads in at least {NEEDED} of {WORLDS} worlds; by "
        "chance alone that happens in 2 % of cases.",
        "",
        *_leads(verdicts, rehearsal),
        "",
        "R² are medians over worlds; in brackets the lowest and the highest lead. `within regions` "
        "leaves out differences between regions: what a map of one region shows.",
        "",
        "**Controls.** Permuted labels of the library must not hurt: their cost is against no "
        "library. With a random teacher (random labels, and a shipped model with permuted weights) "
        "the gain must go; its cost is against the sites alone. Pairs matter only if the product "
        "uses direct standardisation.",
        "",
        *_controls(verdicts, rehearsal),
        "",
        "**What this does not show.** The worlds are simulated: they vary how light mixes, crusts, "
        "moisture, salts, the atmosphere and noise within published ranges, but they are not "
        "your soils. The tables behind this page are in `confirmation-tables.md`.",
        "",
        f"Made by `{about['command']}` with deepsalt {about['version']}; worlds "
        f"`{about['worlds']}`; sources `{about['sources']}`.",
    ]
    return "\n".join(lines) + "\n"


def _verdicts(results: Sequence[Scored]) -> list[Verdict]:
    places = dict.fromkeys((r.sensor, r.size) for r in results)
    return [judge(results, *place, score) for score in (POOLED, WITHIN) for place in sorted(places)]


def _leads(verdicts: Sequence[Verdict], rehearsal: bool) -> list[str]:
    rows = [
        [
            _NAMES.get(v.sensor, v.sensor),
            str(v.size),
            v.score,
            f"{np.median(v.product):.2f}",
            f"{np.median(v.rival):.2f}",
            _spread(v.lead),
            f"{(v.lead > 0).sum()} of {v.lead.size}",
            _REHEARSED if rehearsal else _verdict(v),
        ]
        for v in verdicts
    ]
    head = ["sensor", "sites", "R²", "with library", "best without", "lead", "leads in", "verdict"]
    return _table([head, *rows])


def _verdict(verdict: Verdict) -> str:
    if not verdict.gain:
        return "no gain shown"
    reached = float(np.median(verdict.lead)) >= AIM
    return "gain" if reached else f"gain, below the aim of {AIM:+.2f}"


def _controls(verdicts: Sequence[Verdict], rehearsal: bool) -> list[str]:
    rows = [
        [
            _NAMES.get(v.sensor, v.sensor),
            str(v.size),
            v.score,
            f"{_spread(v.cost)}: {'holds' if v.labels_harmless else 'FAILS'}",
            _lost(v, CONTROL_TEACHER, rehearsal),
            _spread(v.teacher_cost),
            _lost(v, CONTROL_PAIRS, rehearsal),
        ]
        for v in verdicts
    ]
    cost = f"permuted labels cost (at most {MOST_COST} in the median)"
    head = ["sensor", "sites", "R²", cost, "lead, random teacher", "its cost", "lead, wrong pairs"]
    return _table([head, *rows])


def _lost(verdict: Verdict, control: str, rehearsal: bool) -> str:
    lead = verdict.control_leads[control]
    told = f"{np.median(lead):+.2f}, {(lead > 0).sum()} of {lead.size}"
    if rehearsal:
        return told
    if not verdict.gain:
        return f"{told}: no gain to lose"
    return f"{told}: {'lost' if verdict.loses(control) else 'NOT lost'}"


def _spread(values: Floats) -> str:
    return f"{np.median(values):+.2f} [{values.min():+.2f}, {values.max():+.2f}]"


def tables(results: Sequence[Scored], about: About, *, rehearsal: bool) -> str:
    """Return the tables behind the page: each row in each world, what was taken, and CPU times."""
    lines = ["# Tables behind the confirmation (SIMULATED)", ""]
    lines += [f"- {name}: `{value}`" for name, value in about.items()]
    if not rehearsal:
        known = [asdict(world) for world in confirmation_worlds()]
        rows = [[str(value) for value in world.values()] for world in known]
        lines += ["", "## Worlds", "", *_table([[*known[0]], *rows])]
    for score in (POOLED, WITHIN):
        for sensor, size in dict.fromkeys((r.sensor, r.size) for r in results):
            here = [r for r in results if (r.sensor, r.size) == (sensor, size)]
            title = f"## SIMULATED, {_NAMES.get(sensor, sensor)}, {size} sites, R² {score}"
            lines += ["", title, "", *_by_world(here, score)]
    lines += ["", "## What the product took", "", *_taken(results)]
    lines += ["", "## CPU time, s per cell (mean, largest)", "", *_times(results)]
    return "\n".join(lines) + "\n"


def _by_world(results: Sequence[Scored], score: str) -> list[str]:
    worlds = list(dict.fromkeys(r.world for r in results))
    known = {(r.row, r.world): r.scores[score] for r in results}
    rows = []
    for row in dict.fromkeys(r.row for r in results):
        values = [known[row, world] for world in worlds]
        rows.append([row, *(f"{value:.2f}" for value in values), f"{np.median(values):.2f}"])
    return _table([["row", *(world.rpartition("-")[2] for world in worlds), "median"], *rows])


def _taken(results: Sequence[Scored]) -> list[str]:
    rows = []
    for sensor, size in dict.fromkeys((r.sensor, r.size) for r in results):
        counts = Counter(
            r.picked for r in results if (r.sensor, r.size, r.row) == (sensor, size, PRODUCT)
        )
        told = "; ".join(f"{name} {count}" for name, count in counts.most_common())
        rows.append([_NAMES.get(sensor, sensor), str(size), told])
    return _table([["sensor", "sites", "taken (worlds)"], *rows])


def _times(results: Sequence[Scored]) -> list[str]:
    sizes = list(dict.fromkeys(r.size for r in results))
    rows = []
    for row in dict.fromkeys(r.row for r in results):
        by_size = [[r.seconds for r in results if (r.row, r.size) == (row, s)] for s in sizes]
        rows.append([row, *(f"{np.mean(times):.1f}, {max(times):.1f}" for times in by_size)])
    total = sum(r.seconds for r in results)
    table = _table([["row", *(f"{size} sites" for size in sizes)], *rows])
    return [*table, "", f"All cells: {total / 3600:.1f} hours."]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return [head, f"|{'---|' * len(rows[0])}", *body]
