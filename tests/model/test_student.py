"""The student: bounds, batching, folding, missing bands."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepsalt.errors import FormatError
from deepsalt.model.folded import BATCH_PX, fold
from deepsalt.model.kernel import machine
from deepsalt.model.memory import Memory
from deepsalt.model.student import Estimates, Student
from deepsalt.model.threads import one_torch_thread
from deepsalt.spectral.bands import sensor_bands
from deepsalt.types import BandTable, QualityFlag
from tests.model.students import soils, tiny_student

ENMAP = sensor_bands("enmap")
GAIN, OFFSET = (1e-4,) * len(ENMAP), (0.0,) * len(ENMAP)
STUDENT = tiny_student()
FOLDED = fold(STUDENT, ENMAP, GAIN, OFFSET)
OUTPUTS = ("salinity", "lower", "upper", "flags", "domain_score", "chances")
SPECTRA = np.round(soils(300, ENMAP.centers_nm).T / 1e-4).astype(np.int16)


def same_bits(a: Estimates, b: Estimates) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name != "flags")
        for name in OUTPUTS
    )


@given(st.lists(st.integers(1, 299), max_size=4, unique=True))
@settings(max_examples=8)
def test_any_split_of_the_pixels_gives_equal_bits(cuts):
    whole = FOLDED.estimate(SPECTRA)
    parts = [FOLDED.estimate(part) for part in np.split(SPECTRA, sorted(cuts), axis=1)]
    joined = Estimates(
        *(np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in OUTPUTS)
    )
    assert same_bits(joined, whole)


def test_a_pixel_has_equal_bits_in_the_first_and_in_the_last_batch():
    many = np.resize(SPECTRA.T, (BATCH_PX + 300, len(ENMAP))).T
    far = FOLDED.estimate(many)
    again = FOLDED.estimate(many[:, BATCH_PX:])
    assert np.array_equal(far.salinity[BATCH_PX:], again.salinity)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 1e-6, 0.3, 1.0, 50.0]),
)
@settings(max_examples=15)
def test_whatever_the_spectrum_outputs_are_ordered_and_bounded(seed, scale):
    rng = np.random.default_rng(seed)
    spectra = (scale * rng.normal(size=(len(ENMAP), 20))).astype(np.float32)
    out = fold(STUDENT, ENMAP).estimate(spectra)
    assert (out.lower >= 0).all()
    assert (out.lower <= out.salinity).all()
    assert (out.salinity <= out.upper).all()
    assert (out.upper <= 30.0).all()


def test_stored_numbers_and_reflectance_give_the_same_salinity():
    stored = FOLDED.estimate(SPECTRA)
    reflectance = fold(STUDENT, ENMAP).estimate(SPECTRA.astype(np.float32) * np.float32(1e-4))
    np.testing.assert_allclose(stored.salinity, reflectance.salinity, rtol=2e-3, atol=1e-4)


def test_the_offset_of_the_scaling_counts():
    shifted = fold(STUDENT, ENMAP, GAIN, (-0.1,) * len(ENMAP)).estimate(SPECTRA + np.int16(1000))
    np.testing.assert_allclose(shifted.salinity, FOLDED.estimate(SPECTRA).salinity, rtol=2e-3)


def test_the_order_of_the_bands_does_not_matter():
    backwards = BandTable(
        ENMAP.names[::-1], ENMAP.centers_nm[::-1], ENMAP.fwhm_nm[::-1], ENMAP.usable[::-1]
    )
    turned = fold(STUDENT, backwards, GAIN, OFFSET).estimate(SPECTRA[::-1])
    np.testing.assert_allclose(turned.salinity, FOLDED.estimate(SPECTRA).salinity, rtol=1e-3)


def test_folding_is_done_once_per_band_table():
    assert fold(STUDENT, ENMAP, GAIN, OFFSET) is FOLDED


def test_a_missing_band_is_filled_from_its_neighbours():
    holed = SPECTRA.copy()
    holed[[40, 180], ::2] = -32768
    filled = FOLDED.estimate(holed, nodata=-32768.0)
    whole = FOLDED.estimate(SPECTRA)
    np.testing.assert_allclose(filled.salinity, whole.salinity, rtol=0.05)
    assert np.array_equal(filled.salinity[1::2], whole.salinity[1::2])


def test_a_spectrum_without_a_window_has_no_estimate_and_harms_no_other():
    spectra = soils(5, ENMAP.centers_nm).T.astype(np.float32)
    lost = spectra.copy()
    lost[np.array(ENMAP.centers_nm) > 1900, 2] = np.nan
    out = fold(STUDENT, ENMAP).estimate(lost)
    assert np.isnan(out.salinity).tolist() == [False, False, True, False, False]
    keep = [0, 1, 3, 4]
    assert np.array_equal(out.salinity[keep], fold(STUDENT, ENMAP).estimate(spectra).salinity[keep])


@pytest.mark.parametrize("value", [1e30, -1e30, np.inf, -np.inf])
def test_numbers_too_large_to_be_reflectance_harm_no_neighbour(value):
    spectra = soils(5, ENMAP.centers_nm).T.astype(np.float32)
    expected = fold(STUDENT, ENMAP).estimate(spectra).salinity
    spectra[:, 2] = value
    out = fold(STUDENT, ENMAP).estimate(spectra)
    assert np.isnan(out.salinity).tolist() == [False, False, True, False, False]
    assert np.array_equal(np.delete(out.salinity, 2), np.delete(expected, 2))


@pytest.mark.parametrize("nodata", [-32768.0, 40000.0, 0.5, np.nan])
def test_a_number_for_missing_that_the_dtype_cannot_hold_marks_nothing(nodata):
    spectra = np.where(SPECTRA == -32768, 0, SPECTRA)
    assert same_bits(FOLDED.estimate(spectra, nodata=nodata), FOLDED.estimate(spectra))


def test_unusable_bands_are_never_looked_at():
    spectra = soils(5, ENMAP.centers_nm).T.astype(np.float32)
    expected = fold(STUDENT, ENMAP).estimate(spectra).salinity
    spectra[~np.array(ENMAP.usable)] = np.nan
    assert np.array_equal(fold(STUDENT, ENMAP).estimate(spectra).salinity, expected)


def test_a_sensor_without_swir_is_refused_by_the_range_it_lacks():
    n = 100
    vnir = BandTable(
        tuple(f"b{i}" for i in range(n)),
        tuple(np.linspace(400, 1000, n).tolist()),
        (6.0,) * n,
        (True,) * n,
    )
    with pytest.raises(FormatError, match=r"do not cover 1000-1300 nm"):
        fold(STUDENT, vnir)


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_numbers_in_any_order_of_memory_give_the_same_bits(kind):
    numbers = (SPECTRA * 1e4).astype(kind)
    folded = fold(STUDENT, ENMAP, (1e-4,) * len(ENMAP))
    plain = folded.estimate(numbers)
    locked = numbers.copy()
    locked.setflags(write=False)
    backwards = numbers[:, ::-1].copy()[:, ::-1]
    swapped = numbers.astype(numbers.dtype.newbyteorder())
    for other in (locked, backwards, swapped, numbers.astype(np.float64)):
        assert np.array_equal(folded.estimate(other).salinity, plain.salinity)


def test_too_few_bands_are_refused():
    with pytest.raises(FormatError, match="band table"):
        FOLDED.estimate(SPECTRA[:50])


@pytest.mark.parametrize(
    ("values", "noise", "strange"),
    [(1e3, 0.0, True), (0.0, 1e4, True), (0.0, 0.0, False)],
    ids=["far off", "unlike any soil", "usual"],
)
def test_strange_spectra_score_above_one(values, noise, strange):
    components = torch.full((9, 1), values)
    score = STUDENT.domain_score(components, torch.tensor([noise]), torch.ones(1), Memory())
    assert bool(score > 1.0) == strange


def test_the_contrast_with_built_surfaces_is_a_weighted_sum_of_squares():
    inputs = torch.randn(6, 40, generator=torch.Generator().manual_seed(2))
    squares = (STUDENT.contrast @ inputs + STUDENT.contrast_offset[:, None]) ** 2
    expected = (STUDENT.contrast_weights[:, None] * squares).sum(0)
    torch.testing.assert_close(STUDENT.built(inputs, Memory()), expected)


def test_a_built_surface_is_out_of_domain_however_near_the_soils_it_lies():
    sure = replace(STUDENT, contrast_offset=torch.tensor([2.0, 0.0]))
    zeros = torch.zeros(9, 3)
    column = torch.ones(3)
    *_, score, bits = sure.answer(zeros, column, column, lambda chosen: zeros[:4, :0], Memory())
    assert (score > 1.0).all()
    assert (bits & int(QualityFlag.OUT_OF_DOMAIN)).all()


def test_what_scores_above_one_is_marked_out_of_domain():
    bits = STUDENT.flags(torch.zeros(2), torch.tensor([1.01, 1.0]))
    assert [bool(bit & int(QualityFlag.OUT_OF_DOMAIN)) for bit in bits.tolist()] == [True, False]


@pytest.mark.parametrize(("noise", "flatness"), [(10.0, 1.0), (0.0, 1e4)], ids=["noisy", "flat"])
def test_noise_and_flatness_excuse_a_distance(noise, flatness):
    components = torch.full((9, 1), 100.0)
    usual = STUDENT.distance(components, torch.zeros(1), torch.ones(1), Memory())
    assert (
        STUDENT.distance(components, torch.tensor([noise]), torch.tensor([flatness]), Memory())
        < usual
    )


def test_estimates_beyond_most_labels_are_marked_extrapolated():
    bits = STUDENT.flags(torch.tensor([25.0, 5.0]), torch.zeros(2))
    assert [bool(bit & int(QualityFlag.EXTRAPOLATED)) for bit in bits.tolist()] == [True, False]


def test_noise_draws_an_answer_towards_that_of_the_mean_spectrum():
    components = torch.randn(9, 50, generator=torch.Generator().manual_seed(1))

    def answers(components, noise):
        inputs = STUDENT.inputs(components, noise, Memory())
        return machine(inputs, STUDENT.inducing_points, STUDENT.heads, STUDENT.heads_bias)

    mean = answers(torch.zeros(9, 1), torch.zeros(1))
    far = [
        (answers(components, torch.full((50,), noise)) - mean).abs().mean()
        for noise in (0.0, 1.0, 100.0)
    ]
    assert far[0] > far[1] > far[2]


def test_low_noise_spectra_go_to_the_machine_for_them_and_loud_ones_do_not():
    both, one = tiny_student(low_noise=4), tiny_student()
    front = soils(6, ENMAP.centers_nm).T.astype(np.float32)
    answers = [fold(s, ENMAP).estimate(front) for s in (_gated(both, 1e9), _gated(one, 1e9))]
    assert not np.array_equal(answers[0].salinity, answers[1].salinity)
    closed = [fold(s, ENMAP).estimate(front) for s in (_gated(both, 0.0), _gated(one, 0.0))]
    assert same_bits(*closed)


@pytest.mark.parametrize("level", [0.0, 0.3, 1.6, np.nan])
def test_pixels_that_do_not_vary_are_not_taken_for_laboratory_spectra(level):
    front = np.full((len(ENMAP), 3), level, dtype=np.float32)
    answers = [
        fold(_gated(student, 1e9), ENMAP).estimate(front)
        for student in (tiny_student(low_noise=4), tiny_student())
    ]
    assert same_bits(*answers)


def test_a_low_noise_neighbour_changes_no_bit_of_a_loud_pixel():
    student = tiny_student(low_noise=4)
    spectra = soils(40, ENMAP.centers_nm).T.astype(np.float32)
    spectra[:, ::2] += 0.2 * np.random.default_rng(0).normal(size=(len(ENMAP), 20))
    folded = fold(student, ENMAP)
    noise = folded.estimate(spectra)
    alone = folded.estimate(np.ascontiguousarray(spectra[:, ::2]))
    assert np.array_equal(noise.salinity[::2], alone.salinity)


def _gated(student: Student, low_noise_below: float) -> Student:
    limits = student.limits.clone()
    limits[4] = low_noise_below
    return replace(student, limits=limits)


def test_predicting_leaves_the_thread_setting_as_it_was():
    before = torch.get_num_threads()
    with one_torch_thread(), one_torch_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_cost_counts_every_product():
    machine = 7 * 6 + 2 * 7
    assert STUDENT.macs_per_pixel(10) == (6 + 3 + 2) * 10 + machine + 5 * 9 + 2 * 5 + 2 * 6 + 2 * 2


def test_the_cost_of_low_noise_spectra_is_told_apart():
    student = tiny_student(low_noise=4)
    assert student.macs_per_pixel(10) == STUDENT.macs_per_pixel(10)
    assert student.low_noise_macs_per_pixel(10) == 4 * 10 + 4 * 4 + 2 * 4
