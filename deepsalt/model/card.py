"""The model card: identity, training data, accuracy and limits of a set of weights.

Weights never travel without their card, and the card names the checksum of its weights.
"""

import hashlib
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from deepsalt.documents import encode
from deepsalt.errors import ModelError
from deepsalt.inputs import parse_json, read_regular
from deepsalt.model.marks import Marks

WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "card.json"

MAX_CARD_BYTES = 16 * 2**20
MAX_WEIGHTS_BYTES = 4 * 2**30
"""The shipped card has 37 kB, its weights 0.5 MB."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """One source of training spectra.

    Parameters
    ----------
    name
        File name, or the generator's name for simulated spectra.
    kind
        ``laboratory``, ``satellite``, ``unlabelled``, ``simulated`` or ``cells of a map``.
    rows, groups
        Labelled spectra, or cells, and independent groups (profiles, blocks) among them.
    sha256
        Digest of the file, or of the generator's settings.
    licence, attribution
        As the source states them.
    """

    name: str
    kind: str
    rows: int
    groups: int
    sha256: str
    licence: str
    attribution: str


@dataclass(frozen=True, slots=True)
class Score:
    """One row of the evaluation: one method, one kind of spectra, one split.

    Parameters
    ----------
    method
        ``student``, ``PLS-20, clipped``, ``mean``.
    spectra
        What the test spectra are: ``laboratory``, ``laboratory as enmap with noise``,
        ``simulated as enmap`` ...
    split
        ``group`` (such as profiles) or ``region`` (such as countries, or blocks of neighbours).
    n
        Test spectra, all folds together.
    metrics
        Name and value; ``log1p`` in a name marks the scale log(1 + dS/m), ``dsm`` the scale dS/m.
    """

    method: str
    spectra: str
    split: str
    n: int
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Chance:
    """What the probability of an EC above a threshold rests on.

    Parameters
    ----------
    threshold
        dS/m, by the method of the labels.
    base_rate
        Share of the training's soils above it, each profile or site weighing one.
    groups
        Number of those with a label above it.
    calibrated
        ``yes``, or ``no`` with fewer than 20 such groups: then no class is drawn from it.
    alarm
        Least probability from which, of soils held out of the training, half are above the
        threshold; None: there is none.
    """

    threshold: float
    base_rate: float
    groups: int
    calibrated: str
    alarm: float | None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Card of one set of weights.

    Parameters
    ----------
    name, family, version
        The model; a store holds products of one family.
    created_by
        deepsalt's version at training.
    bands_nm, band_width_nm
        Centres and FWHM of the common bands that every sensor is brought to, nm.
    normalisation
        Preprocessing of a spectrum, in words.
    outputs
        Layer name and its meaning, in words.
    ec_method, depth, temperature
        Method of the labels' electrical conductivity, its soil depth and its reference temperature.
    ec_max
        Largest value any output takes, dS/m.
    ec_extrapolated
        Estimates above it carry the bit EXTRAPOLATED, dS/m.
    interval
        How the interval was calibrated, and to which coverage.
    chances
        Thresholds of the probabilities, and what these rest on.
    macs_per_pixel
        Multiply-accumulates per pixel with 224 bands.
    data
        Sources of the training spectra.
    scores
        Evaluation by split, with baselines.
    limits
        What the model cannot do, one statement each.
    training
        Settings of the training, for reproduction.
    weights_sha256
        SHA-256 (hexadecimal) of ``model.safetensors``.
    marks
        Hashes of the labelled samples; empty if these have neither names nor places.
    """

    name: str
    family: str
    version: str
    created_by: str
    bands_nm: tuple[float, ...]
    band_width_nm: float
    normalisation: str
    outputs: dict[str, str]
    ec_method: str
    depth: str
    temperature: str
    ec_max: float
    ec_extrapolated: float
    interval: str
    chances: tuple[Chance, ...]
    macs_per_pixel: int
    data: tuple[TrainingData, ...]
    scores: tuple[Score, ...]
    limits: tuple[str, ...]
    training: dict[str, Any]
    weights_sha256: str
    marks: Marks = field(default_factory=Marks)

    def to_bytes(self) -> bytes:
        """Return the content of ``card.json``, equal bytes for equal cards."""
        return encode(asdict(self), allow_nan=True)  # a score of few spectra may be NaN

    @classmethod
    def from_json(cls, text: str, origin: str) -> "ModelCard":
        """Parse a card.

        Parameters
        ----------
        text
            Content of ``card.json``.
        origin
            Its path, for messages.

        Raises
        ------
        ModelError
            It is not a card: not JSON, or a field is missing, unknown or of the wrong type.
        """
        try:
            found = parse_json(text)
            wanted = {each.name for each in fields(cls)}
            if not isinstance(found, dict) or set(found) != wanted:
                difference = sorted(wanted ^ set(found)) if isinstance(found, dict) else ["a table"]
                raise ModelError(
                    f"model card {origin} is malformed: missing or unknown {', '.join(difference)}"
                    "; train the model again with this version of deepsalt"
                )
            return cls(**{**found, **_values(found)})
        except (ValueError, OverflowError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(
                f"model card {origin} is not readable ({error}); "
                "restore it together with its weights"
            ) from error


def _values(found: dict[str, Any]) -> dict[str, Any]:
    """Turn JSON lists into the tuples and records that a card holds."""
    return {
        "bands_nm": tuple(float(nm) for nm in found["bands_nm"]),
        "ec_max": _finite(found, "ec_max"),
        "ec_extrapolated": _finite(found, "ec_extrapolated"),
        "chances": tuple(Chance(**each) for each in found["chances"]),
        "data": tuple(TrainingData(**source) for source in found["data"]),
        "scores": tuple(Score(**score) for score in found["scores"]),
        "limits": tuple(str(limit) for limit in found["limits"]),
        "weights_sha256": str(found["weights_sha256"]),
        "marks": Marks(**{name: str(text) for name, text in found["marks"].items()}),
    }


def _finite(found: dict[str, Any], name: str) -> float:
    number = float(found[name])
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}")
    return number


def read_card(directory: Path) -> ModelCard:
    """Read ``card.json`` of a model directory.

    Raises
    ------
    ModelError
        The card is missing, unreadable or malformed.
    """
    path = directory / CARD_FILE
    try:
        text = read_regular(path, MAX_CARD_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{path} cannot be read ({error}); a model directory holds {CARD_FILE} and "
            f"{WEIGHTS_FILE}"
        ) from error
    return ModelCard.from_json(text, str(path))


def read_weights(directory: Path, card: ModelCard) -> bytes:
    """Read ``model.safetensors`` of a model directory, as bytes.

    Raises
    ------
    ModelError
        The file is unreadable, or does not belong to the card.
    """
    try:
        weights = read_regular(directory / WEIGHTS_FILE, MAX_WEIGHTS_BYTES)
    except OSError as error:
        raise ModelError(
            f"{directory / WEIGHTS_FILE} cannot be read ({error}); a model directory holds "
            f"{CARD_FILE} and {WEIGHTS_FILE}"
        ) from error
    found = hashlib.sha256(weights).hexdigest()
    if found != card.weights_sha256:
        raise ModelError(
            f"the card in {directory} belongs to weights with SHA-256 "
            f"{card.weights_sha256[:12]}…, but {WEIGHTS_FILE} has {found[:12]}…; restore the pair "
            f"that was trained together"
        )
    return weights
