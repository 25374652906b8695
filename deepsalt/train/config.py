"""Settings of a training run: frozen, checked when made, and kept in the model card."""

import inspect
import json
import math
import re
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from deepsalt.errors import UsageError
from deepsalt.inputs import read_regular
from deepsalt.train.data.tables import TableSpec
from deepsalt.types import ModelRef

WEIGHTS_OF_TEACHER = (0.0, 0.1, 0.3, 0.6)
"""Candidates for the weight of laboratory knowledge; 0 is training on satellite sites alone."""

_PARAMETER = re.compile(r"^(\S.*)\n((?: +.*\n?)+)", re.MULTILINE)

ADAPTATIONS = ("epo", "ds", "align")
"""Adaptations in the order in which they are tried."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train; every field can be set in a TOML file.

    Parameters
    ----------
    sensors
        Sensors through whose bands and noise laboratory spectra are seen, besides as measured.
    components, low_noise_components, tail
        Components that enter the machine for all spectra and that for low-noise ones, and those
        that measure noise.
    inducing_points, inducing_steps
        Inducing points of the student, and steps by which they learn from the teacher; 0: as drawn.
    domain
        Components of the out-of-domain test.
    ridge
        Variance of a label over that of the answer.
    width_ridge
        The same for the width of the interval.
    networks
        Networks among the teacher's members; 0: kernels only.
    hidden
        Widths of their hidden layers.
    epochs, patience
        Most passes over the data, and passes without gain on held-out groups after which a
        network stops.
    batch, learning_rate, weight_decay, dropout
        Of each network's training.
    weights
        Candidates for the weight of laboratory knowledge beside satellite sites.
    adaptations
        Adaptations to try, in this order.
    distil
        Whether the student learns from the teacher's answers as well as the labels.
    mixtures, mixture_weight
        Simulated pixels added to laboratory samples, 0: none; and their total weight over that
        of these.
    folds, region_folds
        Folds by group and by region of the evaluation.
    inner_folds
        Folds by group within each training.
    seed
        Of everything random.
    """

    sensors: tuple[str, ...] = ("enmap", "prisma")
    components: int = 32
    low_noise_components: int = 40
    tail: int = 10
    inducing_points: int = 96
    inducing_steps: int = 60
    domain: int = 32
    ridge: float = 0.02
    width_ridge: float = 2.0
    networks: int = 2
    hidden: tuple[int, int] = (64, 32)
    epochs: int = 40
    patience: int = 8
    batch: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    dropout: float = 0.2
    weights: tuple[float, ...] = WEIGHTS_OF_TEACHER
    adaptations: tuple[str, ...] = ADAPTATIONS
    distil: bool = True
    mixtures: int = 0
    mixture_weight: float = 0.2
    folds: int = 5
    region_folds: int = 10
    inner_folds: int = 5
    seed: int = 20250101

    def __post_init__(self) -> None:
        """Refuse settings that cannot be trained with."""
        counts = [self.components, self.low_noise_components, self.inducing_points, self.domain]
        counts += [self.epochs, self.batch, *self.hidden]
        sizes = (self.tail, self.networks, self.mixtures, self.patience, self.inducing_steps)
        if min(counts) < 1 or min(*sizes, self.mixture_weight) < 0:
            raise UsageError(
                "components, low_noise_components, inducing_points, domain, epochs, batch and "
                "hidden must be at least 1; "
                "tail, networks, mixtures, their weight, patience and inducing_steps not negative"
            )
        if min(self.folds, self.region_folds, self.inner_folds) < 2:
            raise UsageError("folds, region_folds and inner_folds must be at least 2")
        if len(self.hidden) != 2 or not 0 <= self.dropout < 1:
            raise UsageError("hidden must be two widths, and dropout a share from 0 to below 1")
        if min(self.seed, self.weight_decay, *self.weights, 0) < 0:
            raise UsageError("seed, weight_decay and weights must not be negative")
        numbers = [value for value in asdict(self).values() if isinstance(value, float)]
        if not all(math.isfinite(number) for number in (*numbers, *self.weights)):
            raise UsageError("settings must be finite numbers")
        if min(self.ridge, self.width_ridge, self.learning_rate) <= 0:
            raise UsageError("ridge, width_ridge and learning_rate must be above 0")
        if not self.weights or 0.0 not in self.weights:
            raise UsageError("weights must include 0, which trains on satellite sites alone")
        unknown = set(self.adaptations) - set(ADAPTATIONS)
        if unknown:
            raise UsageError(
                f"unknown adaptations {', '.join(sorted(unknown))}; choose from "
                f"{', '.join(ADAPTATIONS)}"
            )

    def quick(self) -> "Settings":
        """Return the same with fewer folds and inducing points: seconds instead of minutes."""
        return replace(
            self,
            sensors=self.sensors[:1],
            components=16,
            low_noise_components=16,
            inducing_points=64,
            inducing_steps=0,
            networks=0,
            folds=2,
            region_folds=2,
            inner_folds=2,
        )


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Tables to train on, settings, and output.

    Parameters
    ----------
    tables
        Laboratory, satellite and unlabelled tables; at least one with labels.
    out
        Directory of the model.
    name, family
        Names of the model and of its family.
    settings
        How to train.
    evaluate
        False: only fit, without scores in the card.
    infrared
        Tables of the laboratory samples' absorbance in the mid-infrared, a further teacher.
    base
        The model that satellite sites stand beside; None: there is none.
    """

    tables: tuple[TableSpec, ...]
    out: Path
    name: str = "own"
    family: str = "deepsalt-surface"
    settings: Settings = Settings()
    evaluate: bool = True
    infrared: tuple[Path, ...] = ()
    base: ModelRef | None = None

    def __post_init__(self) -> None:
        """Refuse a configuration without labelled tables."""
        if not any(table.kind != "unlabelled" for table in self.tables):
            raise UsageError(
                "training needs a table with labels; give --lab TABLE or --satellite TABLE@SENSOR"
            )
        taught = self.settings.distil
        if self.infrared and (not taught or any(t.kind == "satellite" for t in self.tables)):
            raise UsageError(
                f"mid-infrared {self.infrared[0]} can only be used with laboratory tables and "
                f"distil; leave it out, or train without --satellite"
            )


def read_settings(path: Path) -> Settings:
    """Return the defaults with the settings of a TOML file.

    Raises
    ------
    UsageError
        Unreadable, an unknown key, or a value of the wrong kind.
    """
    try:
        found = tomllib.loads(read_regular(path).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"configuration {path} cannot be read: {error}; check the path and its TOML"
        ) from error
    base = Settings()
    known = {field.name: getattr(base, field.name) for field in fields(Settings)}
    for key, value in found.items():
        if key not in known:
            raise UsageError(
                f"configuration {path}: {key} is not a setting; the settings are {', '.join(known)}"
            )
        found[key] = _like(known[key], value, f"configuration {path}: {key}")
    return replace(base, **found)


def settings_text() -> str:
    """Return a TOML file of every setting at its default, each with its meaning above it."""
    parameters = inspect.cleandoc(Settings.__doc__ or "").partition("----------\n")[2]
    # The docstring has lines of names, and indented below each what these settings mean.
    defaults = Settings()
    lines: list[str] = []
    for names, meaning in _PARAMETER.findall(parameters):
        lines.append(f"# {' '.join(meaning.split())}")
        # TOML writes such values as JSON does.
        lines += [f"{name} = {json.dumps(getattr(defaults, name))}" for name in names.split(", ")]
    return "\n".join(lines)


def _like(example: Any, value: Any, where: str) -> Any:
    """Return a value of the same kind as the example; lists become tuples, integers floats."""
    if isinstance(example, tuple) and isinstance(value, list):
        wanted = {type(item) for item in example} or {str}
        if {type(item) for item in value} <= wanted | ({int} if float in wanted else set()):
            return tuple(value)
    if isinstance(example, float) and type(value) is int:
        return float(value)
    if type(example) is not type(value):
        raise UsageError(f"{where} is {value!r}; give a value such as {example!r}")
    return value
