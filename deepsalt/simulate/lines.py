"""Mixing lines: one thing grows along a line, all else is fixed, there is no noise.

They carry physical constraints into training: more soluble salt is more conductivity, gypsum alone
is not, plants hide what lies below.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deepsalt.errors import UsageError
from deepsalt.simulate.config import SimulationConfig
from deepsalt.simulate.cover import green_vegetation
from deepsalt.simulate.materials import Materials, load_materials
from deepsalt.simulate.optics import (
    GYPSUM_LIKE,
    cross_sections,
    densities,
    grain_sizes,
    is_salt,
    water_absorption,
    wet,
)
from deepsalt.simulate.specimens import GRID_NM
from deepsalt.simulate.spectra import draw_soils, mix_with_soil
from deepsalt.spectral.srf import response_matrix
from deepsalt.types import BandTable

Floats = NDArray[np.float64]
LineKind = Literal["salt", "gypsum", "cover"]

_LOWEST = 1e-3  # mass fraction of a crust where salt begins to show
_BASE_SALT = 0.05  # largest salt mass fraction under a line of plants


def mixing_lines(
    kind: LineKind,
    count: int,
    steps: int,
    *,
    bands: BandTable,
    seed: int,
    config: SimulationConfig | None = None,
) -> tuple[Floats, Floats]:
    """Return spectra along lines of growing salt, gypsum or green cover.

    Parameters
    ----------
    kind
        ``salt``: one soluble mineral without gypsum, another on each line; ``gypsum``: a
        gypsum-like one alone; ``cover``: green plants over ground with a little salt.
    count, steps
        Number of lines, and of spectra on each, at least 2.
    bands
        Bands to see them in (n).
    seed
        The same seed is the same lines.
    config
        Specimens and constants of the mixing; the defaults when None.

    Returns
    -------
    tuple[NDArray[np.float64], NDArray[np.float64]]
        Reflectance (count, steps, n), NaN in bands that the specimens do not cover; and the amount
        (count, steps), ascending from 0: mass fraction of the crust, or areal share of plants.

    Raises
    ------
    UsageError
        An unknown kind, too few lines or steps, or specimens without the mineral.
    """
    config = config or SimulationConfig()
    if kind not in ("salt", "gypsum", "cover") or count < 1 or steps < 2:
        raise UsageError(
            f"mixing lines of kind {kind!r}, {count} of {steps} steps: give salt, gypsum or "
            "cover, at least 1 line and 2 steps"
        )
    materials = load_materials(config.specimens, config.use)
    rng = np.random.default_rng([seed, ("salt", "gypsum", "cover").index(kind)])
    growing = _amounts(rng, kind, count, steps, config)
    salt = growing
    if kind == "cover":
        salt = np.repeat(rng.uniform(0.0, _BASE_SALT, (count, 1)), steps, axis=1)
    ground = _ground(rng, kind, salt, materials, config)
    if kind == "cover":
        leaf = green_vegetation(rng, count, materials.grid_nm)[:, None, :]
        ground += growing[..., None] * (leaf - ground)
    return ground @ response_matrix(materials.grid_nm, bands).T, growing


def _amounts(
    rng: np.random.Generator, kind: LineKind, count: int, steps: int, config: SimulationConfig
) -> Floats:
    """Return what grows along each line (count, steps), from 0."""
    if kind == "cover":
        most = config.mixing.max_green * rng.uniform(0.5, 1.0, (count, 1))
        return np.asarray(most * np.linspace(0.0, 1.0, steps), dtype=np.float64)
    most = np.log(config.mixing.crust_limit * rng.uniform(0.3, 1.0, (count, 1)))
    low = np.log(_LOWEST)
    rise = np.exp(low + (most - low) * np.linspace(0.0, 1.0, steps - 1))
    return np.column_stack([np.zeros(count), rise])


def _ground(
    rng: np.random.Generator,
    kind: LineKind,
    salt: Floats,
    materials: Materials,
    config: SimulationConfig,
) -> Floats:
    """Return moist ground whose crust holds one mineral in these mass fractions (count, steps)."""
    count, steps = salt.shape
    wanted = [
        s
        for s in materials.specimens
        if is_salt(s.mineral) and (s.mineral in GYPSUM_LIKE) == (kind == "gypsum")
    ]
    if not wanted:
        raise UsageError(f"the specimens hold no mineral for lines of {kind}; add one")
    minerals = sorted({s.mineral for s in wanted})
    soils = draw_soils(rng, count, config.use)[:, materials.covered]
    # Film and grains are the line's own and do not change along it.
    film = rng.exponential(config.mixing.film_mm, (count, 1)) * (rng.random((count, 1)) < 0.4)
    out = np.empty((count, steps, GRID_NM[materials.covered].size))
    for line in range(count):
        # The mineral first: a library of many grain sizes of one salt is still one salt.
        mineral = minerals[rng.integers(len(minerals))]
        records = [s for s in wanted if s.mineral == mineral]
        spectrum = records[rng.integers(len(records))].reflectance[materials.covered]
        grain = grain_sizes([mineral], config.mixing) * np.exp(rng.normal(0.0, 0.5, 2))
        mass = np.column_stack([1.0 - salt[line], salt[line]])
        shares = cross_sections(mass, densities([mineral]), grain)
        earth = np.repeat(soils[line : line + 1], steps, axis=0)
        out[line] = mix_with_soil(earth, spectrum[None], shares, config.mixing)
    shape = (count * steps, -1)
    moist = wet(
        out.reshape(shape), np.repeat(film, steps, axis=0), water_absorption(materials.grid_nm)
    )
    return np.asarray(moist, dtype=np.float64).reshape(out.shape)
