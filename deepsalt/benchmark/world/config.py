"""Settings of a simulation of regions."""

from dataclasses import dataclass, field
from typing import Literal

from deepsalt.errors import UsageError
from deepsalt.simulate.atmosphere import AtmosphereConfig
from deepsalt.simulate.optics import MixingConfig
from deepsalt.simulate.specimens import Use

Law = Literal["hapke", "linear", "bilinear"]
LAWS: tuple[Law, ...] = ("hapke", "linear", "bilinear")
"""Laws by which the ground mixes: by grains, side by side, and side by side with light that meets
two components."""


@dataclass(frozen=True, slots=True)
class SimulationConfig:
    """Settings of the simulation; none of the numbers is tuned to a result.

    Parameters
    ----------
    regions, sites, scenes
        Number of regions, of sites in each and of scenes of each.
    seed
        Source of all randomness, where a call does not give its own.
    use
        ``train`` or ``demo``: which specimens and soils.
    enrichment_region_log_sd, enrichment_site_log_sd
        Standard deviation of the log of the crust's enrichment, between regions and between the
        sites of one; `MixingConfig.enrichment` is the median. The defaults put 95 % of all sites
        between 1 and 100, the range that is assumed in nature.
    saline_share
        Range of a region's share of saline sites (low, high).
    salt_g_kg
        Range of a region's median of soluble salt in the soil of saline sites (low, high), g/kg.
        The range starts where salt begins to show in a 1:2 extract and ends at the median of the
        322 Xinjiang soils of xinjiang-soil-ions (20 g/kg).
    salt_log_sd
        Standard deviation of the log of that salt within a region; in those soils 1.0 over all
        places, so a little less in one.
    gypsum_share
        Range of a region's share of sites with gypsum (low, high).
    gypsum_g_kg
        Range of a region's median of gypsum in the soil of those sites (low, high), g/kg.
    chloride
        Mean share of chlorides in the equivalents of the soluble salts; None: that of
        xinjiang-soil-ions, with all its salts.
    soil_spread
        Part of the soils' variance that lies within a region; the rest lies between regions.
    confusers
        Largest mass fraction of other minerals (clay, carbonate, iron oxide) in a region's soils.
    moist_share
        Range of a region's share of sites with a water film (low, high).
    law
        By which salt mixes with soil in the crust, as one of `LAWS`. Samples are powders, which
        mix by grains in any case.
    interaction
        Of the law ``bilinear``: light that met two components over the product of their
        shares and reflectances.
    lab_noise, lab_gain
        Noise of the laboratory spectrometer, reflectance; standard deviation of the log of a
        sample's brightness, from packing and white reference.
    mixing, atmosphere
        Constants of the mixing; amplitudes of the atmospheric residuals.
    """

    regions: int = 24
    sites: int = 60
    scenes: int = 2
    seed: int = 0
    use: Use = "train"
    enrichment_region_log_sd: float = 0.9
    enrichment_site_log_sd: float = 0.75
    saline_share: tuple[float, float] = (0.2, 0.8)
    salt_g_kg: tuple[float, float] = (1.0, 20.0)
    salt_log_sd: float = 0.8
    gypsum_share: tuple[float, float] = (0.1, 0.7)
    gypsum_g_kg: tuple[float, float] = (1.0, 30.0)
    chloride: float | None = None
    soil_spread: float = 0.4
    confusers: float = 0.3
    moist_share: tuple[float, float] = (0.1, 0.6)
    law: Law = "hapke"
    interaction: float = 1.0
    lab_noise: float = 0.0008
    lab_gain: float = 0.02
    mixing: MixingConfig = field(default_factory=MixingConfig)
    atmosphere: AtmosphereConfig = field(default_factory=AtmosphereConfig)

    def __post_init__(self) -> None:
        """Refuse counts and ranges without a meaning."""
        for name in ("regions", "sites", "scenes"):
            if getattr(self, name) < 1:
                raise UsageError(f"simulation: {name} {getattr(self, name)} must be at least 1")
        if self.seed < 0:
            raise UsageError(f"the simulation has seed {self.seed}; give a seed of 0 or more")
        if self.use not in ("train", "demo"):
            raise UsageError(f"simulation: use {self.use!r} must be 'train' or 'demo'")
        if self.law not in LAWS:
            raise UsageError(f"simulation: law {self.law!r} must be one of {', '.join(LAWS)}")
        limits = {"saline_share": 1.0, "gypsum_share": 1.0, "moist_share": 1.0}
        limits |= {"salt_g_kg": 500.0, "gypsum_g_kg": 500.0}
        for name, most in limits.items():
            low, high = getattr(self, name)
            if not 0 <= low <= high <= most or (name.endswith("g_kg") and low == 0):
                raise UsageError(
                    f"simulation: {name} {low:g} to {high:g} must be an ascending range in 0 to "
                    f"{most:g}"
                )
        limits = {"soil_spread": 1.0, "confusers": 0.9, "lab_noise": 0.1, "lab_gain": 1.0}
        limits |= {"interaction": 1.0} | ({} if self.chloride is None else {"chloride": 1.0})
        limits |= dict.fromkeys(
            ("enrichment_region_log_sd", "enrichment_site_log_sd", "salt_log_sd"), 3.0
        )
        for name, most in limits.items():
            if not 0 <= getattr(self, name) <= most:
                raise UsageError(
                    f"simulation: {name} {getattr(self, name):g} must lie in 0 to {most:g}"
                )
