"""Location of a model, and loading it once per process.

Only `load_student` loads torch, so that planning a run stays fast.
"""

import hashlib
import threading
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from deepsalt.errors import ModelError
from deepsalt.inputs import read_regular
from deepsalt.model.card import CARD_FILE, MAX_CARD_BYTES, ModelCard, read_card, read_weights
from deepsalt.types import ModelRef

if TYPE_CHECKING:
    from deepsalt.model.student import Student

DEFAULT_MODEL = "surface-3"
"""Directory below ``deepsalt/model/weights`` of the model that ships with the package."""

_lock = threading.Lock()
_loaded: dict[str, "Student"] = {}


def model_ref(path: str | Path | None = None) -> ModelRef:
    """Return the reference of a model on disk; does not load torch.

    Parameters
    ----------
    path
        Directory with ``model.safetensors`` and ``card.json``. Default: the shipped model.

    Raises
    ------
    ModelError
        A file is missing or unreadable, or card and weights do not belong together.

    Examples
    --------
    >>> import deepsalt
    >>> len(deepsalt.model_ref().digest)
    64
    """
    directory = Path(path) if path is not None else _shipped()
    card = read_card(directory)
    weights = read_weights(directory, card)
    digest = hashlib.sha256(
        weights + read_regular(directory / CARD_FILE, MAX_CARD_BYTES)
    ).hexdigest()
    return ModelRef(str(directory.resolve()), digest, card.family)


def _shipped() -> Path:
    return Path(str(files("deepsalt.model") / "weights" / DEFAULT_MODEL))


def model_card(ref: ModelRef) -> ModelCard:
    """Return the card of a model.

    Raises
    ------
    ModelError
        The card is missing, unreadable or malformed.
    """
    return read_card(Path(ref.path))


def load_student(ref: ModelRef) -> "Student":
    """Load a model, once per process and digest; safe to call from many threads.

    Raises
    ------
    ModelError
        The files are missing, unreadable, disagree, or do not match `ref`.
    """
    from deepsalt.model.files import read_student  # loads torch

    with _lock:
        if ref.digest not in _loaded:
            # On another machine the shipped model has another path; the digest identifies it.
            directory = Path(ref.path) if Path(ref.path).is_dir() else _shipped()
            if model_ref(directory).digest != ref.digest:
                raise ModelError(
                    f"the model in {directory} has changed since the run was planned; "
                    "plan the run again"
                )
            _loaded[ref.digest] = read_student(directory)
        return _loaded[ref.digest]
