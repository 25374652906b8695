"""Rows of the benchmark: each takes training rows and answers for rows that it never saw."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsalt.benchmark.baselines import BASELINES, FAMILIES, Fit, fit_kernel_ridge, smeared
from deepsalt.benchmark.data import Views
from deepsalt.benchmark.published.method import PublishedConfig, fit_published
from deepsalt.conductivity import EC_SHIFT
from deepsalt.train.adaptation.combine import fit_combined
from deepsalt.train.config import ADAPTATIONS, Settings
from deepsalt.train.data.mixtures import simulated_tables
from deepsalt.train.data.samples import EMPTY, Samples, as_mixtures, stack
from deepsalt.train.student.base import Base
from deepsalt.train.student.cross import cross_fit
from deepsalt.train.student.distil import estimates
from deepsalt.train.student.fit import fit_model
from deepsalt.train.teacher.teacher import fit_teacher
from deepsalt.types import Floats

Answer = dict[str, NDArray[Any]]
"""`ec` (s,), dS/m; of rows with an interval also `lower`, `upper`; `flags`; and scalars, of which
`picked` is a name."""

PLS = "PLS-20, clipped"
SATELLITE_ONLY = "satellite-only student"
CEILING = "in-region ceiling"
CEILINGS = (CEILING, "in-region ceiling, kernel ridge")
"""Rows that train on other sites of the regions that are unseen to all others."""
FULL = "full"
PRODUCT = "product with a laboratory library"
NO_LIBRARY = "product without a library"
SITES_ONLY = "product, sites alone"
CONTROL_LABELS = "control: permuted labels"
CONTROL_TEACHER = "control: random teacher"
CONTROL_PAIRS = "control: shuffled pairs"
SHIPPED = "shipped settings"
PUBLISHED = "published method (deepsalt-2025)"

PIXELS = 2000
"""Simulated pixels of the row that trains on some, where the settings have none."""

_NODES = 40  # quantiles of residuals for smearing


@dataclass(frozen=True, slots=True)
class Budget:
    """How long rows may train: the same for each of a kind.

    Parameters
    ----------
    settings
        Of our rows.
    published
        Of the published method.
    base
        The model that models of sites stand beside, as `deepsalt train` has it; None: none.
    """

    settings: Settings
    published: PublishedConfig
    base: Base | None = None


RealFit = Callable[[Samples, Samples, Budget], Answer]
PairFit = Callable[[Views, Samples, Budget], Answer]


@dataclass(frozen=True, slots=True)
class Row:
    """One method.

    Parameters
    ----------
    name
        As tables show it.
    about
        Description for the report.
    fit
        From training and test rows to answers: a `RealFit` or a `PairFit`.
    settings
        Of this row, in the budget's place.
    satellite_only
        Whether it is a baseline for laboratory knowledge.
    """

    name: str
    about: str
    fit: Callable[..., Answer]
    settings: Settings
    satellite_only: bool = False


def real_rows(settings: Settings, *, quick: bool) -> list[Row]:
    """Return the rows of the part on real spectra, closed forms first."""
    none = replace(settings, mixtures=0)
    plain = replace(none, distil=False, networks=0)
    taught = replace(none, distil=True)
    rows = [_closed(name, settings, _by_view(BASELINES[name])) for name in _closed_names(quick)]
    rows += [
        Row("plain student", "our student on labels alone", _lab_student, plain),
        Row(
            "+ distillation",
            "the student with the teacher's held-out answers",
            _lab_student,
            taught,
        ),
        Row("teacher", "what the student learns from", _teacher, taught),
    ]
    pixels = PIXELS // 10 if quick else PIXELS
    drawn = replace(settings, mixtures=settings.mixtures or pixels)
    return [
        *rows,
        Row(SHIPPED, "with the settings of this benchmark", _lab_student, settings),
        Row("without simulated pixels", "trained on measured soils only", _lab_student, none),
        Row(
            "with simulated pixels",
            f"{drawn.mixtures} SIMULATED pixels added",
            _lab_student,
            drawn,
        ),
        Row(PUBLISHED, "the published method, with its faults corrected", _published, settings),
        Row("control: permuted labels", "labels permuted over samples", _permuted, settings),
        Row(
            "control: random teacher",
            "the plain student on labels mixed with a stranger's, as from a teacher that knows "
            "nothing",
            _random_teacher,
            plain,
        ),
    ]


def simulated_rows(settings: Settings, *, quick: bool) -> list[Row]:
    """Return the rows of the part on simulated pairs, closed forms first."""
    alone = replace(settings, weights=(0.0,), adaptations=())
    stacked = replace(settings, adaptations=ADAPTATIONS)
    paired = replace(settings, adaptations=("ds",))
    rows = [_closed(name, settings, _of_sites(BASELINES[name])) for name in _closed_names(quick)]
    rows += [
        Row(SATELLITE_ONLY, "ours without any laboratory", _sites_only, alone, True),
        Row("naive pooling", "kernel ridge on sites and laboratory alike", _pooled, settings),
        Row(
            "+ laboratory",
            "with the teacher's knowledge, no adaptation",
            _combined,
            replace(settings, adaptations=()),
        ),
    ]
    rows += [
        Row(
            f"+ laboratory, {name}",
            "with this adaptation",
            _combined,
            replace(settings, adaptations=(name,)),
        )
        for name in ADAPTATIONS
    ]
    rows += [
        Row("+ laboratory, all adaptations", "stacked while they gain", _combined, stacked),
        Row(FULL, "adaptations, laboratory, distilled into the student", _full, settings),
        Row(
            PUBLISHED, "the published method, with its faults corrected", _published_pairs, settings
        ),
        Row("control: shuffled pairs", "ds on wrongly paired spectra", _shuffled, paired),
        Row(
            "control: shuffled pairs, published",
            "on wrongly paired spectra",
            _shuffled_published,
            settings,
        ),
        Row(CEILINGS[0], "ours on as many sites of the unseen regions", _sites_only, alone),
        Row(CEILINGS[1], "the same by kernel ridge", _of_sites(fit_kernel_ridge), settings),
    ]
    return rows


def confirmation_rows(settings: Settings) -> list[Row]:
    """Return the rows of the confirmation: satellite-only models, the product, its controls.

    For the random teacher the shipped model is a stranger as well: its heads are permuted.
    """
    alone = replace(settings, weights=(0.0,), adaptations=())
    about = {
        name: (fit.__doc__ or "").splitlines()[0].rstrip(".") for name, fit in FAMILIES.items()
    }
    return [
        *(Row(name, about[name], _of_sites(fit), settings, True) for name, fit in FAMILIES.items()),
        Row(SITES_ONLY, "without library and shipped model", _sites_only, alone, True),
        Row(NO_LIBRARY, "with the shipped model", _with_base, settings),
        Row(PRODUCT, "as `deepsalt train --lab --satellite` does it", _full, settings),
        Row(CONTROL_LABELS, "permuted in the library", _permuted_library, settings),
        Row(CONTROL_TEACHER, "a library with labels drawn at random", _random_library, settings),
        Row(CONTROL_PAIRS, "sites paired with samples of other sites", _shuffled_full, settings),
    ]


def _closed_names(quick: bool) -> list[str]:
    return [name for name in BASELINES if not (quick and name == "PLS tuned, clipped")]


def _closed(name: str, settings: Settings, fit: Callable[..., Answer]) -> Row:
    about = (BASELINES[name].__doc__ or "").splitlines()[0].rstrip(".")
    return Row(name, about, fit, settings, True)


def _by_view(baseline: Fit) -> RealFit:
    def fit(training: Samples, test: Samples, budget: Budget) -> Answer:
        ec = np.empty(len(test))
        for view in np.unique(test.view):
            wanted = test.view == view
            predict = baseline(training.take(training.view == view))
            ec[wanted] = np.expm1(predict(test.take(wanted)))
        return {"ec": ec}

    fit.__qualname__ = baseline.__qualname__
    return fit


def _of_sites(baseline: Fit) -> PairFit:
    def fit(views: Views, test: Samples, budget: Budget) -> Answer:
        return {"ec": np.expm1(baseline(views.sites)(test))}

    fit.__qualname__ = baseline.__qualname__
    return fit


def _lab_student(training: Samples, test: Samples, budget: Budget) -> Answer:
    """Answer as `_student`, with the simulated pixels that the settings ask for."""
    if budget.settings.mixtures:
        drawn = [as_mixtures(table) for table in simulated_tables(budget.settings)]
        training = stack([training, *drawn])
    return _student(training, test, budget)


def _student(training: Samples, test: Samples, budget: Budget) -> Answer:
    fitted = fit_model(training, budget.settings, budget.base)
    said = estimates(fitted.student, test.features)
    found = {
        "ec": said.salinity.astype(np.float64),
        "lower": said.lower.astype(np.float64),
        "upper": said.upper.astype(np.float64),
        "flags": said.flags.astype(np.float64),
    }
    if "laboratory_weight" in fitted.report:
        found["laboratory_weight"] = np.array(float(fitted.report["laboratory_weight"]))
    if "picked" in fitted.report:
        found["picked"] = np.array(fitted.report["picked"])
    return found


def _teacher(training: Samples, test: Samples, budget: Budget) -> Answer:
    held_out, share = cross_fit(training, budget.settings)
    teacher = fit_teacher(training, budget.settings, share=share)
    location = teacher.location(test.features)
    residual = training.target - held_out.teacher
    ec = np.empty(len(test))
    for view in np.unique(test.view):
        wanted = test.view == view
        known = residual[training.view == view]
        ec[wanted] = _salinity(location[wanted], known, training.ec)
    return {"ec": ec}


def _salinity(location: Floats, residual: Floats, ec: Floats) -> Floats:
    """Return EC (s,) of log(EC + 0.03) (s,), smeared by residuals, within the training range."""
    nodes = np.quantile(residual, (np.arange(_NODES) + 0.5) / _NODES)
    return np.clip(np.expm1(smeared(location, nodes)), ec.min(), ec.max())


def permuted_labels(names: NDArray[np.str_], ec: Floats, seed: int) -> Floats:
    """Return labels (s,) permuted over samples; all views of one keep one label."""
    _, first, index = np.unique(names, return_index=True, return_inverse=True)
    rng = np.random.default_rng([seed, 2])
    return np.asarray(ec[first][rng.permutation(first.size)][index])


def _permuted(training: Samples, test: Samples, budget: Budget) -> Answer:
    ec = permuted_labels(training.site, training.ec, budget.settings.seed)
    return _lab_student(replace(training, ec=ec), test, budget)


def _random_teacher(training: Samples, test: Samples, budget: Budget) -> Answer:
    # Distillation adds a second target per row with at most the label's weight, 1/2 on average: the
    # same as one target between the two.
    other = np.log(permuted_labels(training.site, training.ec, budget.settings.seed) + EC_SHIFT)
    mixed = np.exp((training.target + 0.5 * other) / 1.5) - EC_SHIFT
    return _lab_student(replace(training, ec=np.maximum(mixed, 0.0)), test, budget)


def _published(training: Samples, test: Samples, budget: Budget) -> Answer:
    lab = training.take(training.view == "laboratory")
    sat = training.take(np.char.endswith(training.view, "with noise"))
    model = fit_published(
        lab.snv,
        lab.target,
        sat.snv,
        sat.target,
        rows_of_one_name(sat.site, lab.site),
        config=budget.published,
    )
    location = np.empty(len(test))
    measured = test.view == "laboratory"
    if measured.any():
        location[measured] = model.predict_lab(test.snv[measured])
    location[~measured] = model.predict(test.snv[~measured])
    return {"ec": _bounded(location, training.ec)}


def _bounded(location: Floats, ec: Floats) -> Floats:
    return np.clip(np.exp(np.minimum(location, 7.0)) - EC_SHIFT, ec.min(), ec.max())


def rows_of_one_name(satellite: NDArray[np.str_], laboratory: NDArray[np.str_]) -> NDArray[np.intp]:
    """Return rows (satellite, laboratory) of one name (q, 2)."""
    place = {name: row for row, name in enumerate(laboratory.tolist())}
    found = [
        (row, place[name])
        for row, name in enumerate(satellite.tolist())
        if name != EMPTY and name in place
    ]
    return np.array(found, dtype=np.intp).reshape(-1, 2)


def _sites_only(views: Views, test: Samples, budget: Budget) -> Answer:
    return _student(views.sites, test, replace(budget, base=None))


def _with_base(views: Views, test: Samples, budget: Budget) -> Answer:
    return _student(views.sites, test, budget)


def _full(views: Views, test: Samples, budget: Budget) -> Answer:
    return _student(stack([views.sites, views.laboratory]), test, budget)


def _pooled(views: Views, test: Samples, budget: Budget) -> Answer:
    lab = views.laboratory
    both = stack([views.sites, lab.take(lab.view == "laboratory")])
    return {"ec": np.expm1(fit_kernel_ridge(both)(test))}


def _combined(views: Views, test: Samples, budget: Budget) -> Answer:
    sites = views.sites
    model, choice = fit_combined(sites, views.laboratory, budget.settings)
    location = model.location(test.features)
    ec = _salinity(location, sites.target - choice.held_out, sites.ec)
    return {"ec": ec, "laboratory_weight": np.array(float(choice.weight))}


def _published_pairs(views: Views, test: Samples, budget: Budget) -> Answer:
    sites = views.sites
    lab = views.laboratory
    measured = lab.take(lab.view == "laboratory")
    model = fit_published(
        measured.snv,
        measured.target,
        sites.snv,
        sites.target,
        rows_of_one_name(sites.partner, measured.site),
        config=budget.published,
    )
    return {"ec": _bounded(model.predict(test.snv), sites.ec)}


def _shuffled(views: Views, test: Samples, budget: Budget) -> Answer:
    return _combined(_wrongly_paired(views, budget), test, budget)


def _shuffled_full(views: Views, test: Samples, budget: Budget) -> Answer:
    return _full(_wrongly_paired(views, budget), test, budget)


def _random_library(views: Views, test: Samples, budget: Budget) -> Answer:
    lab = views.laboratory
    names, index = np.unique(lab.site, return_inverse=True)
    rng = np.random.default_rng([budget.settings.seed, 4])
    drawn = rng.normal(lab.target.mean(), lab.target.std(), names.size)[index]
    ec = np.clip(np.exp(drawn) - EC_SHIFT, 0.0, lab.ec.max())
    return _full(replace(views, laboratory=replace(lab, ec=ec)), test, _with_stranger(budget))


def _with_stranger(budget: Budget) -> Budget:
    """Return the budget with a base model that knows nothing: its heads' weights are permuted."""
    if budget.base is None:
        return budget
    student = budget.base.student
    order = np.random.default_rng([budget.settings.seed, 5]).permutation(student.heads.shape[1])
    stranger = replace(student, heads=student.heads[:, order.tolist()])
    return replace(budget, base=replace(budget.base, student=stranger))


def _shuffled_published(views: Views, test: Samples, budget: Budget) -> Answer:
    return _published_pairs(_wrongly_paired(views, budget), test, budget)


def _wrongly_paired(views: Views, budget: Budget) -> Views:
    rng = np.random.default_rng([budget.settings.seed, 3])
    partner = rng.permutation(views.sites.partner)
    return replace(views, sites=replace(views.sites, partner=partner))


def _permuted_library(views: Views, test: Samples, budget: Budget) -> Answer:
    lab = views.laboratory
    ec = permuted_labels(lab.site, lab.ec, budget.settings.seed)
    return _full(replace(views, laboratory=replace(lab, ec=ec)), test, budget)
