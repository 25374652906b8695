"""The mid-infrared teacher: when it teaches, whom it may know, what it changes."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from deepsalt.errors import FormatError, UsageError
from deepsalt.spectral.infrared import (
    InfraredTable,
    infrared_features,
    read_infrared,
    wavenumber_columns,
)
from deepsalt.train.config import TrainConfig
from deepsalt.train.data.samples import Samples, stack
from deepsalt.train.data.tables import TableSpec
from deepsalt.train.data.training_set import with_infrared
from deepsalt.train.metrics import r2
from deepsalt.train.student.distil import Fitted, estimates
from deepsalt.train.student.fit import fit_model
from deepsalt.train.student.infrared import MIN_SPECTRA, fit_infrared
from deepsalt.types import Floats
from tests.shared import shared_data
from tests.train.tables import QUICK, infrared_frame, library_views


def infrared_table(sample: NDArray[np.str_], signal: Floats) -> InfraredTable:
    frame = infrared_frame(sample, signal)
    columns = wavenumber_columns(frame.columns)
    features = infrared_features(frame[list(columns)].to_numpy(), np.array([*columns.values()]), "")
    return InfraredTable("mir.csv", sample, features.astype(np.float32), "0" * 64)


@lru_cache(maxsize=1)
def views() -> Samples:
    """Return 240 samples, each a group of its own."""
    samples = library_views(6, 40)
    return replace(samples, group=samples.site)


@lru_cache(maxsize=1)
def parts() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return rows of samples without a label, and of new ones that no fit sees."""
    sites = np.random.default_rng(0).permutation(np.unique(views().site))
    return np.isin(views().site, sites[:130]), np.isin(views().site, sites[130:180])


def signals(*, know: bool) -> InfraredTable:
    """Return a table for all samples: spectra that show the salt, or anything."""
    names, first = np.unique(views().site, return_index=True)
    truth = views().target[first]
    chance = np.random.default_rng(0).normal(truth.mean(), truth.std(), truth.size)
    return infrared_table(names, truth if know else chance)


def training(*tables: InfraredTable) -> Samples:
    hidden, new = parts()
    samples = replace(views(), ec=np.where(hidden, np.nan, views().ec))
    return with_infrared(samples, tables).take(~new)


@lru_cache(maxsize=4)
def fitted(*, know: bool | None) -> Fitted:
    tables = [] if know is None else [signals(know=know)]
    return fit_model(training(*tables), QUICK)


def score(model: Fitted) -> float:
    """Return R² of log1p for new samples as satellites see them."""
    new = parts()[1] & (views().view != "laboratory")
    told = estimates(model.student, views().features[new]).salinity
    return r2(np.log1p(views().ec[new]), np.log1p(told))


def test_mid_infrared_that_knows_the_salt_improves_answers_for_new_groups() -> None:
    assert score(fitted(know=True)) > score(fitted(know=None)) + 0.05


def test_mid_infrared_that_knows_the_salt_is_used_in_all_views() -> None:
    told = fitted(know=True).report["mid_infrared"]
    assert told["used"] == ["enmap", "enmap with noise", "laboratory"]
    assert told["samples"] == 190
    assert told["held_out_r2_log1p"] > 0.5


def test_mid_infrared_noise_is_not_used() -> None:
    noise, without = fitted(know=False), fitted(know=None)
    assert noise.report["mid_infrared"]["used"] == []
    assert np.array_equal(noise.student.heads, without.student.heads)


def test_noise_is_not_used_even_beside_a_student_that_knows_nothing() -> None:
    labelled = training(signals(know=False))
    labelled = labelled.take(labelled.labelled)
    teacher = fit_infrared(labelled, np.full(len(labelled), 50.0), QUICK)
    assert teacher is not None
    assert not teacher.trust.any()


def test_without_mid_infrared_nothing_is_reported() -> None:
    assert "mid_infrared" not in fitted(know=None).report


def test_labelled_samples_alone_learn_from_it() -> None:
    labelled = training(signals(know=True))
    labelled = labelled.take(labelled.labelled)
    plain = replace(labelled, infrared=None)
    one, two = (fit_model(part, QUICK).student.heads for part in (labelled, plain))
    assert not np.array_equal(one, two)


def test_held_out_answers_do_not_know_labels_of_their_group() -> None:
    labelled = training(signals(know=True))
    labelled = labelled.take(labelled.labelled)
    mine = labelled.group == labelled.group[0]
    spoilt = replace(labelled, ec=np.where(mine, 400.0, labelled.ec))
    one, two = (fit_infrared(part, part.target * 0.0, QUICK) for part in (labelled, spoilt))
    assert one is not None
    assert two is not None
    assert np.array_equal(one.held_out[mine], two.held_out[mine])
    assert not np.array_equal(one.held_out, two.held_out)


def test_real_spectra_of_the_kellogg_laboratory_teach_what_goes_with_their_clay() -> None:
    path = shared_data("kssl-mir-toy", "toy_kssl_mir.csv.gz")
    names, site = np.unique(views().site, return_inverse=True)
    clay = pd.read_csv(path)["clay.tot_usda.a334_w.pct"].to_numpy()[: names.size]
    spectra = read_infrared(path).features[: names.size]
    samples = replace(views(), ec=np.exp(clay / 15.0 - 3.0)[site])
    joined = with_infrared(samples, [InfraredTable("mir.csv", names, spectra, "0" * 64)])
    teacher = fit_infrared(joined, joined.target * 0.0, QUICK)
    assert teacher is not None
    assert r2(joined.target, teacher.held_out) > 0.5


def test_samples_without_a_spectrum_are_not_answered() -> None:
    table = signals(know=True)
    half = replace(table, sample=table.sample[::2], features=table.features[::2])
    labelled = training(half)
    labelled = labelled.take(labelled.labelled)
    teacher = fit_infrared(labelled, labelled.target * 0.0, QUICK)
    assert teacher is not None
    assert np.array_equal(np.isfinite(teacher.held_out), labelled.has_infrared)
    assert not teacher.trust[~labelled.has_infrared].any()


def test_too_few_samples_with_a_spectrum_do_not_teach() -> None:
    table = signals(know=True)
    known = training().site[training().labelled]
    few = np.isin(table.sample, np.unique(known)[: MIN_SPECTRA - 1])
    part = replace(table, sample=table.sample[few], features=table.features[few])
    told = fit_model(training(part), QUICK)
    assert told.report["mid_infrared"] == {"samples": MIN_SPECTRA - 1, "used": []}
    assert np.array_equal(told.student.heads, fitted(know=None).student.heads)


def test_views_of_a_sample_share_its_spectrum_and_pixels_have_none() -> None:
    samples = views()
    pixels = np.char.add(samples.view, " pixels")
    samples = replace(samples, view=np.where(samples.view == "enmap", pixels, samples.view))
    joined = with_infrared(samples, [signals(know=True)])
    assert np.array_equal(joined.has_infrared, ~samples.pixels)
    one = joined.infrared[joined.site == joined.site[0]]  # type: ignore[index] # it has them
    assert np.array_equal(one[0], one[-1])


def test_stacked_samples_keep_the_spectra_of_those_that_have_them() -> None:
    with_them = with_infrared(views(), [signals(know=True)])
    both = stack([views(), with_them])
    assert np.array_equal(both.has_infrared, np.repeat([False, True], len(views())))
    assert stack([views(), views()]).infrared is None


def test_a_table_that_shares_no_sample_is_refused() -> None:
    stranger = infrared_table(np.array(["a", "b"]), np.zeros(2))
    with pytest.raises(FormatError, match=r"mir\.csv shares no sample with the laboratory"):
        with_infrared(views(), [signals(know=True), stranger])


def test_a_sample_in_two_tables_is_refused() -> None:
    with pytest.raises(FormatError, match="is in two mid-infrared tables"):
        with_infrared(views(), [signals(know=True), signals(know=False)])


@pytest.mark.parametrize(
    "changes",
    [
        {"tables": (TableSpec(Path("s.csv"), "satellite", "enmap"),)},
        {"settings": replace(QUICK, distil=False)},
    ],
    ids=["satellite", "not-distilled"],
)
def test_mid_infrared_is_refused_where_it_could_not_teach(changes: dict[str, object]) -> None:
    plain = TrainConfig((TableSpec(Path("lab.csv"), "laboratory"),), Path("out"))
    with pytest.raises(UsageError, match="can only be used with laboratory tables"):
        replace(plain, infrared=(Path("mir.csv"),), **changes)  # type: ignore[arg-type] # any field
