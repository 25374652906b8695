"""Weights on disk: verified reading, and writing together with their card.

Weights are safetensors: numbers only, nothing in them is executed when they are read.
"""

import hashlib
from dataclasses import fields, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from deepsalt.documents import replace_file
from deepsalt.errors import ModelError
from deepsalt.model.card import CARD_FILE, WEIGHTS_FILE, ModelCard, read_card, read_weights
from deepsalt.model.student import CHANCE_KNOTS, HEADS, Student
from deepsalt.spectral.transform import LEVEL_FEATURES, common_nm, linear_matrix


def read_student(directory: Path) -> Student:
    """Read weights and check them against their card.

    Raises
    ------
    ModelError
        The files are missing, unreadable or disagree.
    """
    card = read_card(directory)
    weights = read_weights(directory, card)
    try:
        tensors = load(weights)
    except SafetensorError as error:
        raise ModelError(
            f"weights {directory / WEIGHTS_FILE} are not readable ({error}); restore the file"
        ) from error
    _check_tensors(directory, tensors)
    _check_card(directory, card, tensors)
    return Student(**tensors)


def write_model(directory: Path, student: Student, card: ModelCard) -> ModelCard:
    """Write weights and card and return the card, now with the checksum of the weights.

    Each file is replaced in one step; a reader that meets new weights with the old card refuses
    them, since their checksums differ.

    Raises
    ------
    ModelError
        The directory cannot be written.
    """
    tensors = {f.name: getattr(student, f.name).contiguous() for f in fields(Student)}
    weights = save(tensors)
    card = replace(card, weights_sha256=hashlib.sha256(weights).hexdigest())
    try:
        directory.mkdir(parents=True, exist_ok=True)
        replace_file(directory / WEIGHTS_FILE, weights)
        replace_file(directory / CARD_FILE, card.to_bytes())
    except OSError as error:
        raise ModelError(
            f"model directory {directory} cannot be written ({error}); choose another"
        ) from error
    return card


def _check_tensors(directory: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Refuse weights that are not a student's."""
    wanted = set(Student.__dataclass_fields__)
    if set(tensors) != wanted:
        raise ModelError(
            f"{directory / WEIGHTS_FILE} has {', '.join(sorted(tensors)) or 'no tensors'}, but a "
            f"student needs {', '.join(sorted(wanted))}"
        )
    features = linear_matrix().shape[0] + LEVEL_FEATURES
    first = ("components", "domain", "contrast")
    rows, domain, forms = (tensors[name].shape[0] for name in first)
    inducing_points, kept = (*tensors["inducing_points"].shape, 0, 0)[:2]
    low_noise, inputs = (*tensors["low_noise_inducing_points"].shape, 0, 0)[:2]
    shapes = {
        "components": (max(rows, kept), features),
        "component_offset": (rows,),
        "domain": (domain, rows),
        "domain_offset": (domain,),
        "domain_shrinkage": (domain,),
        "contrast": (forms, kept),
        "contrast_offset": (forms,),
        "contrast_weights": (forms,),
        "shrinkage": (kept,),
        "scale": (kept,),
        "inducing_points": (inducing_points, kept),
        "heads": (len(HEADS), inducing_points),
        "heads_bias": (len(HEADS), 1),
        "low_noise_components": (inputs, features),
        "low_noise_offset": (inputs,),
        "low_noise_inducing_points": (low_noise, inputs),
        "low_noise_heads": (len(HEADS), low_noise),
        "low_noise_bias": (len(HEADS), 1),
        "nodes": (tensors["nodes"].numel(),),
        "low_noise_nodes": (tensors["low_noise_nodes"].numel(),),
        "intervals": (tensors["intervals"].shape[0], 4),
        "low_noise_intervals": (tensors["low_noise_intervals"].shape[0], 4),
        "chances": (CHANCE_KNOTS[2],),
        "low_noise_chances": (CHANCE_KNOTS[2],),
        "limits": (6,),
    }
    for name, shape in shapes.items():
        if tuple(tensors[name].shape) != shape:
            raise ModelError(
                f"{directory / WEIGHTS_FILE}: {name} has shape {tuple(tensors[name].shape)}, "
                f"expected {shape}; the weights belong to another version of the model"
            )
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32 or not bool(torch.isfinite(tensor).all()):
            raise ModelError(
                f"{directory / WEIGHTS_FILE}: {name} is not finite float32; restore the file"
            )


def _check_card(directory: Path, card: ModelCard, tensors: dict[str, torch.Tensor]) -> None:
    if card.bands_nm != tuple(common_nm().tolist()):
        raise ModelError(
            f"the card in {directory} names {len(card.bands_nm)} bands that are not the "
            f"{common_nm().size} common bands of this version of deepsalt; train the model again"
        )
    stated = (card.ec_max, card.ec_extrapolated)
    for value, tensor in zip(stated, tensors["limits"][:2], strict=True):
        if abs(value - float(tensor)) > 1e-3 * max(1.0, abs(value)):
            raise ModelError(
                f"the card in {directory} states a limit of {value} dS/m, but the weights have "
                f"{float(tensor):.4g}; restore the pair that was trained together"
            )
