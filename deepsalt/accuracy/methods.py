"""Whether labels and a map are the same quantity, and labels brought to the method of a map."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepsalt.conductivity import Conversion, method_of
from deepsalt.errors import UsageError
from deepsalt.types import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Harmonised:
    """Labels as they can be compared with a map (n).

    Parameters
    ----------
    ec
        Electrical conductivity, dS/m, by the map's method if `comparable` (n,).
    conversion_sd
        Standard deviation of the logarithm of the conversion's error, 0 where nothing was
        converted (n,).
    reason
        Why a sample is not used; "" where it is (n,).
    comparable
        Whether labels and map are one quantity. If not, only ranks and recalibrated scores mean
        something.
    sentence
        What was compared, or why ranks alone are.
    method
        Of the labels as they are here; "" if it is not stated, mixed or unknown.
    """

    ec: Floats
    conversion_sd: Floats
    reason: NDArray[np.str_]
    comparable: bool
    sentence: str
    method: str


def harmonise(
    ec: Floats, methods: NDArray[np.str_], of_map: str, conversion: Conversion | None = None
) -> Harmonised:
    """Bring labels to the method of a map, or say that they cannot be.

    Labels of several methods are never mixed. Without a conversion those of the map's method
    count, or else those of the most frequent one, by ranks.

    Parameters
    ----------
    ec
        Labels, dS/m (n,).
    methods
        Their methods as the table states them, "" if it does not (n,).
    of_map
        Method of the map's model as its attribute `ec_method` says it.
    conversion
        From the samples' method to the map's.

    Raises
    ------
    UsageError
        There is a conversion and the map's method is unknown, or no sample needs it.
    """
    known = [method_of(each) for each in methods.tolist()]
    target = method_of(of_map)
    if conversion is not None and target is None:
        raise UsageError(
            f"the map's model learned from labels of a method that is not known "
            f"({of_map or 'not stated'!r:.80}), so nothing can be converted to it; leave out "
            f"--convert: ranks and the recalibrated score need none"
        )
    same = np.array([target is not None and each == target for each in known], np.bool_)
    others = Counter(
        each for each, is_same in zip(known, same.tolist(), strict=True) if not is_same
    )
    if conversion is not None and not others:
        raise UsageError(f"all samples are {target} as the map is; leave out --convert")
    if target is not None and conversion is None and same.any():
        return Harmonised(
            ec,
            np.zeros(ec.size),
            _reasons(same, f"it is not {target} as the map is"),
            True,
            f"samples and map are {target}",
            target,
        )
    most = max(others, key=lambda each: (others[each], each or ""), default=None)
    chosen = np.array([each == most for each in known], np.bool_)
    said = most or "of a method that is not stated"
    if conversion is None:
        why = (
            f"the map's model learned from labels of a method that is not known "
            f"({of_map or 'not stated'})"
            if target is None
            else f"the samples are {said} and the map is {target}, without a conversion (--convert)"
        )
        return Harmonised(
            ec,
            np.zeros(ec.size),
            _reasons(chosen, f"most samples are {said}, and methods are never mixed"),
            False,
            f"{why}: ranks and recalibrated scores are reported, no bias, RMSE or coverage",
            most or "",
        )
    used = chosen | same
    return Harmonised(
        np.where(chosen, ec * conversion.factor, ec),
        np.where(chosen, conversion.sd_log, 0.0),
        _reasons(used, f"the conversion is for samples that are {said}"),
        True,
        f"the samples are {said}; times {conversion.factor:g} they are taken for {target} as the "
        f"map is, with an error of {conversion.sd_log:g} of the logarithm",
        target or "",
    )


def _reasons(used: NDArray[np.bool_], why_not: str) -> NDArray[np.str_]:
    return np.where(used, "", why_not)
