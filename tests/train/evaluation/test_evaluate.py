"""Splits and folds: nothing of what is left out reaches training."""

from dataclasses import replace

import numpy as np

from deepsalt.train.data.training_set import draw_views, training_set
from deepsalt.train.evaluation import evaluate as evaluation
from deepsalt.train.evaluation.evaluate import splits
from deepsalt.train.student.fit import fit_model
from tests.train.tables import (
    QUICK,
    config,
    lab_frame,
    laboratory_table,
    library_views,
    regions,
    satellite_table,
    write,
)


def test_scores_do_not_hang_on_the_labels_of_their_own_fold(tmp_path):
    samples = library_views()
    split = splits(samples, QUICK)[0]
    train_rows, test = split.folds[0]
    spoilt = samples.ec.copy()
    spoilt[test] = 400.0
    found = []
    for number, ec in enumerate((samples.ec, spoilt)):
        part = replace(samples, ec=ec)
        found.append(
            evaluation.answers_of_fold(
                part, QUICK, fit_model, (train_rows, test), tmp_path / f"{number}.npz"
            )
        )
    for name in found[0][0]:
        assert np.array_equal(found[0][0][name], found[1][0][name], equal_nan=True), name


def test_partners_and_rows_of_a_held_out_region_never_reach_training():
    pairs = regions(4, 12)
    sat = replace(
        satellite_table(pairs, paired=True),
        group=np.char.add("site ", np.arange(48).astype(str)),
    )
    lab = replace(laboratory_table(pairs, pairs.ec), group=np.full(48, "library"))
    samples = draw_views([lab, sat], QUICK)
    found = splits(samples, QUICK)
    assert [split.name for split in found] == ["group", "region"]
    for split in found:
        names = getattr(samples, split.name)
        for train_rows, test in split.folds:
            assert samples.satellite[test].all()
            assert not set(names[train_rows]) & set(names[test])
            assert not set(samples.site[train_rows]) & set(samples.partner[test])
            assert len(train_rows)
    assert sum(len(test) for _, test in found[1].folds) == 48


def test_few_sites_beside_a_large_library_are_not_all_left_out_at_once():
    pairs, library = regions(4, 12), regions(8, 40, first=100)
    samples = draw_views([laboratory_table(library, library.ec), satellite_table(pairs)], QUICK)
    for train_rows, test in splits(samples, replace(QUICK, region_folds=4))[0].folds:
        assert np.unique(samples.region[test]).size == 1
        assert samples.satellite[train_rows].sum() == 36


def test_looks_at_one_site_lie_on_one_side_though_their_groups_differ():
    pairs = regions(2, 12, looks=2)
    samples = draw_views([satellite_table(pairs)], QUICK)
    samples = replace(samples, group=samples.scene)
    for train_rows, test in splits(samples, QUICK)[0].folds:
        assert not set(samples.site[train_rows]) & set(samples.site[test])


def test_a_fold_that_leaves_too_few_labels_is_not_scored(caplog):
    pairs = regions(4, 12)
    big = np.arange(48) < 40
    table = replace(satellite_table(pairs), region=np.where(big, "big", "small"))
    table = replace(table, group=pairs.sample)
    samples = draw_views([table], QUICK)
    by_region = splits(samples, QUICK)[1]
    assert [set(samples.region[test]) for _, test in by_region.folds] == [{"small"}]
    assert "1 of 2 folds leave too few labels" in caplog.text


def test_each_kind_of_spectra_is_scored_with_the_alarm_of_its_own_machine(tmp_path):
    samples = training_set(config(write(tmp_path, lab_frame()), tmp_path)).samples

    def fit(part, settings, base):
        fitted = fit_model(part, settings, base)
        own, plain = (
            tuple(replace(each, alarm=alarm) for each in known)
            for known, alarm in ((fitted.chances, 0.1), (fitted.low_noise_chances, 0.9))
        )
        return replace(fitted, chances=own, low_noise_chances=plain)

    fold = splits(samples, QUICK)[0].folds[0]
    found, _ = evaluation.answers_of_fold(samples, QUICK, fit, fold, tmp_path / "fold.npz")
    alarm, view = found["p_above_1 alarm"], samples.view[fold[1]]
    assert set(alarm[view == "laboratory"]) == {0.9}
    assert 0.1 in alarm[view == "enmap with noise"]
