"""Settings of a training run: frozen, checked when made, and kept in the model card."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from deepsalt.errors import UsageError

EcUnit = Literal["dS/m", "mS/m"]

TO_DS_M: dict[str, float] = {"dS/m": 1.0, "mS/m": 0.01}
"""Factor from a unit of electrical conductivity to dS/m."""


@dataclass(frozen=True, slots=True)
class LabTable:
    """One table of laboratory spectra with labels.

    Parameters
    ----------
    path
        CSV(.gz) or Parquet with columns ``r<centre in nm>``.
    sensor
        Band table of its columns: ``lab`` or what `sensor_bands` takes.
    group
        Column of the groups that must not be split between training and test: the profile.
    region
        Column of the regions for the leave-region-out score; None: there is none.
    ec, ec_unit
        Column of the label and its unit.
    suspect
        Boolean column; rows with True are left out. None: there is none.
    reserve_demo
        Leave out the groups whose soils the demo maps (`demo_profile`, a fifth of any names), so
        that the demo stays ground that the model never saw.
    ec_method
        Which electrical conductivity the labels are.
    licence, attribution
        As the source states them; they go into the card.
    """

    path: Path
    sensor: str = "lab"
    group: str = "profile_id"
    region: str | None = None
    ec: str = "ec_ds_m"
    ec_unit: EcUnit = "dS/m"
    suspect: str | None = None
    reserve_demo: bool = True
    ec_method: str = "mixed or unknown"
    licence: str = "not stated"
    attribution: str = ""

    def __post_init__(self) -> None:
        """Refuse unknown units."""
        if self.ec_unit not in TO_DS_M:
            raise UsageError(f"EC unit {self.ec_unit!r} is not one of {', '.join(TO_DS_M)}")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What to train on, how, and where to write it.

    Parameters
    ----------
    lab
        Laboratory tables, at least one.
    out
        Directory for ``model.safetensors`` and ``card.json``.
    name, family
        Names of the model and of its family.
    sensors
        Sensors whose bands and noise the laboratory spectra are seen through, beside as measured.
    mixtures
        Simulated mixtures drawn for training; 0: none.
    mixture_weight
        Total weight of the mixtures over that of the laboratory spectra.
    saline_share
        Share of saline ground that the weights of the mixtures assume.
    seed
        Of everything random.
    components, trailing
        Components in the networks (beside the two of the level), and further ones for the
        out-of-domain test.
    members, hidden
        Networks in the student, and the widths of their hidden layers.
    epochs, batch, learning_rate, weight_decay, dropout
        Of each network's training.
    component_noise
        Standard deviation of the noise added to standardised components in training.
    copies
        Noisy copies of each laboratory spectrum per sensor.
    folds
        Folds by group of the evaluation.
    evaluate
        False: only fit, without scores in the card.
    """

    lab: tuple[LabTable, ...]
    out: Path
    name: str = "surface-1"
    family: str = "deepsalt-surface"
    sensors: tuple[str, ...] = ("enmap", "prisma")
    mixtures: int = 12000
    mixture_weight: float = 0.7
    saline_share: float = 0.6
    seed: int = 20250101
    components: int = 40
    trailing: int = 12
    members: int = 4
    hidden: tuple[int, int] = (56, 24)
    epochs: int = 60
    batch: int = 512
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    dropout: float = 0.2
    component_noise: float = 0.15
    copies: int = 1
    folds: int = 5
    evaluate: bool = True

    def __post_init__(self) -> None:
        """Refuse settings that cannot be trained with."""
        if not self.lab:
            raise UsageError("training needs at least one laboratory table; give --lab TABLE")
        if self.mixtures < 0 or self.mixture_weight < 0 or self.folds < 2:
            raise UsageError("mixtures and their weight must not be negative, folds at least 2")
        sizes = (self.components, self.trailing, self.copies, self.epochs, self.batch, *self.hidden)
        if min(sizes) < 1 or self.members < 2 or self.learning_rate <= 0:
            raise UsageError(
                "components, copies, epochs, batch and hidden widths must be at least 1, "
                "members at least 2, the learning rate above 0"
            )

    def quick(self) -> "TrainConfig":
        """Return the same with few mixtures, epochs and folds: seconds instead of minutes."""
        return replace(
            self,
            mixtures=min(self.mixtures, 300),
            components=16,
            trailing=4,
            members=2,
            epochs=4,
            folds=2,
        )
