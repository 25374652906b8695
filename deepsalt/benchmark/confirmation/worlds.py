"""The twelve confirmation worlds: drawn once from published ranges, kept in a file.

`worlds.json` says what they are; its digest is in `docs/benchmark/confirmation.md`. Methods
are never developed on them. Their minerals and soils are the specimens of the demo, which neither
the development worlds nor the shipped model's simulated pixels have.
"""

import hashlib
from dataclasses import asdict, dataclass
from importlib.resources import files

import numpy as np

from deepsalt.benchmark.world.config import LAWS, Law, SimulationConfig
from deepsalt.documents import encode, parse_document
from deepsalt.simulate.atmosphere import AtmosphereConfig
from deepsalt.simulate.optics import MixingConfig

WORLDS = 12
FILE = "worlds.json"

_SEED = 20261130
_FIRST_WORLD = 1000  # seeds of the development worlds start at 0
_VAPOUR_LOW_CM = 0.2


@dataclass(frozen=True, slots=True)
class WorldParameters:
    """What makes a confirmation world differ from the others.

    All else is as in the development worlds (`SimulationConfig`).

    Parameters
    ----------
    name, seed
        Of the world.
    law
        Of mixing in the crust, four worlds each: ``linear``, ``hapke`` (Hapke 1981, J. Geophys.
        Res. 86, 3039), ``bilinear`` (Halimi et al. 2011, IEEE TGRS 49, 4153).
    interaction
        Of the bilinear law: 0 to 1, the range of Halimi et al. 2011; the other laws have none.
    enrichment
        Median enrichment of the crust: 4.4 to 30. Crusts of 23 places of the Tarim basin hold 88.5
        to 603 g/kg of salt (Li and Guo 2022, Land 11, 999); the median soil of xinjiang-soil-ions,
        of the same basin's province, 20 g/kg.
    salt_top_g_kg
        Largest median of soluble salt of a region, g/kg: 8 to 41.5, the 10 and 95 % quantiles of
        the medians of the 28 places of xinjiang-soil-ions.
    salt_log_sd
        Spread of that salt within a region: 0.43 to 0.67, the quartiles of those places.
    chloride
        Share of chlorides in the equivalents of chlorides and of sulphates that are not gypsum:
        0.24 to 0.76, the 5 and 95 % quantiles of the medians of those places.
    film_mm
        Mean water film of moist ground, mm: 0.005 to 0.195, what the MARMIT model (Bablet et al.
        2018, RSE 217, 1) retrieved for five moist pixels of Sevier Lake (emit-sevier-marmit).
    vapour_top_cm
        Largest column of water vapour, cm: 1 to 5; the smallest is 0.2. Retrievals were validated
        from 0.2 to 5 cm (Makarau et al. 2017, IEEE GRSL 14, 227).
    vapour_error
        Relative error of that column: 0.02 to 0.1. The error was 0.1 cm there, which is 2 % of the
        largest column and 10 % of one of 1 cm.
    aerosol_slope
        Relative error of reflectance at 550 nm, from aerosol: 0.02 to 0.07, the differences of
        PRISMA from field and airborne spectroscopy in the visible (Cogliati et al. 2021, RSE 262,
        112499).
    gain
        Error of the radiometric gain: 0.01 to 0.05. Both missions state less than 5 % (Cogliati et
        al. 2021; Storch et al. 2020, ISPRS Annals V-1-2020, 41); the lower end is ours.
    noise
        Factor on the sensor's noise: 0.85 to 1.3. EnMAP's ratio of signal to noise is expected to
        be 500 at 495 nm and 150 at 2200 nm (Storch et al. 2020), the simulator's is 425 and 195.
    """

    name: str
    seed: int
    law: Law
    interaction: float
    enrichment: float
    salt_top_g_kg: float
    salt_log_sd: float
    chloride: float
    film_mm: float
    vapour_top_cm: float
    vapour_error: float
    aerosol_slope: float
    gain: float
    noise: float

    def config(self) -> SimulationConfig:
        """Return the settings of the simulation."""
        return SimulationConfig(
            use="demo",
            law=self.law,
            interaction=self.interaction,
            salt_g_kg=(SimulationConfig().salt_g_kg[0], self.salt_top_g_kg),
            salt_log_sd=self.salt_log_sd,
            chloride=self.chloride,
            mixing=MixingConfig(enrichment=self.enrichment, film_mm=self.film_mm, noise=self.noise),
            atmosphere=AtmosphereConfig(
                vapour_cm=(_VAPOUR_LOW_CM, self.vapour_top_cm),
                vapour_error=self.vapour_error,
                aerosol_slope=self.aerosol_slope,
                gain=self.gain,
            ),
        )


RANGES: dict[str, tuple[float, float]] = {
    "interaction": (0.0, 1.0),
    "enrichment": (4.4, 30.0),
    "salt_top_g_kg": (8.0, 41.5),
    "salt_log_sd": (0.43, 0.67),
    "chloride": (0.24, 0.76),
    "film_mm": (0.005, 0.195),
    "vapour_top_cm": (1.0, 5.0),
    "vapour_error": (0.02, 0.1),
    "aerosol_slope": (0.02, 0.07),
    "gain": (0.01, 0.05),
    "noise": (0.85, 1.3),
}
"""Ranges of the numbers; `WorldParameters` has their sources."""

_LOGARITHMIC = ("enrichment", "salt_top_g_kg")


def draw_worlds() -> list[WorldParameters]:
    """Draw the worlds anew, so that they cover each range evenly (a Latin hypercube).

    Numbers are rounded to four digits.
    """
    rng = np.random.default_rng(_SEED)
    laws = [LAWS[i % len(LAWS)] for i in rng.permutation(WORLDS).tolist()]
    bilinear = np.array(laws) == "bilinear"
    drawn = {name: np.zeros(WORLDS) for name in RANGES}
    for name, ends in RANGES.items():
        chosen = bilinear if name == "interaction" else np.ones(WORLDS, dtype=np.bool_)
        count = int(chosen.sum())
        share = (rng.permutation(count) + rng.random(count)) / count
        low, high = ends
        logarithmic = name in _LOGARITHMIC
        values = low * (high / low) ** share if logarithmic else low + (high - low) * share
        drawn[name][chosen] = values
    return [
        WorldParameters(
            f"confirmation-{i + 1:02d}",
            _FIRST_WORLD + i,
            laws[i],
            **{name: float(f"{values[i]:.4g}") for name, values in drawn.items()},
        )
        for i in range(WORLDS)
    ]


def confirmation_worlds() -> list[WorldParameters]:
    """Return the worlds of the file."""
    return [WorldParameters(**one) for one in parse_document(_content(), FILE)["worlds"]]


def confirmation_digest() -> str:
    """Return the SHA-256 of the file (hexadecimal)."""
    return hashlib.sha256(_content()).hexdigest()


def _content() -> bytes:
    return files("deepsalt.benchmark.confirmation").joinpath(FILE).read_bytes()


def encode_worlds(worlds: list[WorldParameters]) -> bytes:
    """Return the bytes of the file for these worlds."""
    return encode({"worlds": [asdict(world) for world in worlds]}, as_written=True)
