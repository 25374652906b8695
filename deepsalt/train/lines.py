"""Physical constraints as penalties on a machine's heads, along simulated mixing lines."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deepsalt.simulate.lines import LineKind, mixing_lines
from deepsalt.spectral.bands import sensor_bands
from deepsalt.train.config import Settings
from deepsalt.train.constraints import Penalty, gypsum_cap, monotone, smooth, widening
from deepsalt.train.encoder import Encoder
from deepsalt.train.machine import kernel
from deepsalt.train.samples import features_of

Floats = NDArray[np.float64]

LINES, STEPS = 48, 6
_BANDS = "enmap"  # any sensor will do: features are of the common bands
_SMOOTH = 100.0  # bends are some hundredths of what they bend


def line_inputs(encoder: Encoder, kind: LineKind, settings: Settings) -> tuple[Floats, Floats]:
    """Return encoded mixing lines (count, steps, k) and their amounts (count, steps)."""
    bands = sensor_bands(_BANDS)
    spectra, amount = mixing_lines(kind, LINES, STEPS, bands=bands, seed=settings.seed)
    features, _ = features_of(spectra.reshape(-1, len(bands)), bands)
    return encoder(features)[0].reshape(LINES, STEPS, -1), amount


def location_penalties(
    encoder: Encoder, anchors: Floats, bias: float, settings: Settings
) -> list[Penalty]:
    """Return the penalties on the location's head that the settings switch on.

    `bias` is what the machine answers without any anchor: ceilings are relative to it.
    """
    found = []
    weight = settings.constraint_weight
    for name in settings.constraints:
        if name == "widening":
            continue
        inputs, amount = line_inputs(
            encoder, "gypsum" if name == "gypsum_cap" else "salt", settings
        )
        phi = _features(inputs, anchors)
        if name == "monotone":
            found.append(monotone(phi, amount, weight=weight))
        elif name == "smooth":
            found.append(smooth(phi, amount, weight=_SMOOTH * weight))
        else:
            cap = gypsum_cap(phi, weight=weight)
            found.append(replace(cap, bound=cap.bound - bias))
    return found


def width_penalties(encoder: Encoder, anchors: Floats, settings: Settings) -> list[Penalty]:
    """Return the penalties on the width's head that the settings switch on."""
    if "widening" not in settings.constraints:
        return []
    inputs, amount = line_inputs(encoder, "cover", settings)
    return [widening(_features(inputs, anchors), amount, weight=settings.constraint_weight)]


def _features(inputs: Floats, anchors: Floats) -> Floats:
    flat = kernel(inputs.reshape(-1, inputs.shape[-1]), anchors)
    return flat.reshape(*inputs.shape[:2], -1)
