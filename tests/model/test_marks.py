"""What a card remembers of its training samples."""

import numpy as np

from deepsalt.model.marks import PLACE_DEG, Marks

LON, LAT = np.array([84.01234, 84.2]), np.array([40.9, 40.95])
MARKS = Marks.of(["pit A", "pit B+pit C"], LON, LAT)


def test_a_place_of_the_training_is_known_again_within_its_pixel() -> None:
    for east, north in ((0.0, 0.0), (0.00015, -0.00015), (-0.0004, 0.0004)):
        assert MARKS.has_place(LON + east, LAT + north).all()


def test_a_place_two_squares_on_is_another() -> None:
    assert not MARKS.has_place(LON + 3 * PLACE_DEG, LAT).any()
    assert not MARKS.has_place(LON, LAT - 3 * PLACE_DEG).any()


def test_names_are_known_one_by_one() -> None:
    assert MARKS.has_id(["pit A", "pit C", "pit D", ""]).tolist() == [True, True, False, False]


def test_numbers_of_rows_are_no_names_of_samples() -> None:
    marks = Marks.of(["1", "row 7", ""], LON, LAT)
    assert marks.ids == ""
    assert not marks.has_id(["1", "row 7", ""]).any()


def test_marks_show_neither_names_nor_places() -> None:
    assert "pit" not in MARKS.ids
    assert set(MARKS.ids + MARKS.places) <= set("0123456789abcdef ")


def test_places_that_are_not_known_make_no_mark() -> None:
    marks = Marks.of(["pit A"], np.array([np.nan]), np.array([40.0]))
    assert marks.places == ""
    assert not marks.has_place(LON, LAT).any()
    assert marks
    assert not Marks()


def test_marks_of_two_trainings_know_the_samples_of_both() -> None:
    other = Marks.of(["pit X"], np.array([-5.0]), np.array([10.0]))
    both = MARKS | other
    assert both.has_id(["pit A", "pit X", "pit Y"]).tolist() == [True, True, False]
    assert both.has_place(np.append(LON, -5.0), np.append(LAT, 10.0)).all()
    assert both == other | MARKS
