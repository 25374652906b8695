"""A run's own model: from the driver into the store, and from there to the disks of its workers.

Workers that are processes of their own never look for the folder that the driver was given: they
take the model from the store by its digest, once per folder that they share. The shipped model is
part of every installation and takes no part in this.
"""

import shutil
from collections.abc import Iterable
from functools import reduce
from operator import or_
from pathlib import Path
from secrets import token_hex

from deepsalt.errors import MissingObjectError, ModelError, UsageError
from deepsalt.model.card import (
    CARD_FILE,
    MAX_CARD_BYTES,
    MAX_WEIGHTS_BYTES,
    WEIGHTS_FILE,
    ModelCard,
)
from deepsalt.model.load import model_card, model_ref
from deepsalt.model.marks import Marks
from deepsalt.objects import Objects
from deepsalt.objects.disk import storing
from deepsalt.store import Where
from deepsalt.types import ModelRef
from deepsalt.versions.storage import locked

_LIMITS = {CARD_FILE: MAX_CARD_BYTES, WEIGHTS_FILE: MAX_WEIGHTS_BYTES}


def model_prefix(digest: str) -> str:
    """Return where a model is in a store."""
    return f"models/{digest[:12]}"


def put_model(objects: Objects, ref: ModelRef) -> None:
    """Write the files of a model into a store; those that are there stay.

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    for file in sorted(filter(Path.is_file, Path(ref.path).iterdir())):
        objects.create(f"{model_prefix(ref.digest)}/{file.name}", file.read_bytes())


def marks_of(where: Where, digests: Iterable[str], model: Path | None = None) -> Marks | None:
    """Return what the models of a mosaic were trained on; None where a card does not say it.

    Parameters
    ----------
    where
        A store or an export.
    digests
        Of the models.
    model
        Folder of the model. Default: the shipped one, or the one that the store has.

    Raises
    ------
    UsageError
        The given model is none of them.
    ModelError
        A card is unreadable.
    """
    wanted = sorted(set(digests))
    given = model_ref(model)
    if model is not None and [given.digest] != wanted:
        raise UsageError(
            f"{model} has the digest {given.digest[:12]}, and the mosaic was made by "
            f"{', '.join(digest[:12] for digest in wanted) or 'no known model'}; give its own model"
        )
    objects = Objects.of(where)
    found = [
        model_card(given) if digest == given.digest else _card_in(objects, digest)
        for digest in wanted
    ]
    marks = [card.marks for card in found if card is not None and card.marks]
    if not marks or len(marks) < len(wanted):
        return None
    return reduce(or_, marks)


def model_of(
    where: Where, digests: Iterable[str], cache: Path, model: Path | None = None
) -> ModelRef:
    """Return the one model that made a mosaic, as files on this machine.

    Parameters
    ----------
    where, digests, model
        As for `marks_of`, which has accepted the given folder.
    cache
        Folder for a copy from the store.

    Raises
    ------
    UsageError
        The mosaic is of several models, or its model is neither given, shipped nor in the store.
    ModelError, StoreError
        As of `cached_model`.
    """
    wanted = sorted(set(digests))
    if len(wanted) != 1:
        raise UsageError(
            f"the mosaic was made by {len(wanted)} models, and one is recalibrated; give a mosaic "
            "that one model made"
        )
    given = model_ref(model)
    if given.digest == wanted[0]:
        return given
    objects = Objects.of(where)
    if _card_in(objects, wanted[0]) is None:
        raise UsageError(
            f"the model {wanted[0][:12]} of the map is neither shipped nor in {objects}; give its "
            "folder with --model"
        )
    return cached_model(objects, wanted[0], cache)


def _card_in(objects: Objects, digest: str) -> ModelCard | None:
    """Return the card of a model that a store has; None if it has not."""
    key = f"{model_prefix(digest)}/{CARD_FILE}"
    try:
        content = objects.read(key)
    except MissingObjectError:
        return None
    return ModelCard.from_json(content.decode("utf-8", "replace"), f"{key} of {objects}")


def cached_model(objects: Objects, digest: str, cache: Path) -> ModelRef:
    """Return a model of a store as files on this machine, fetched unless they are there.

    Processes that share the cache wait for the one that fetches. A damaged copy is fetched again.

    Parameters
    ----------
    objects
        The store.
    digest
        Of the model.
    cache
        Folder of the copies, made if missing.

    Raises
    ------
    ModelError
        The store does not have the model, or has another one in its place.
    StoreError
        The store cannot be read, or the folder not be written.
    """
    if found := _kept(cache / digest, digest):
        return found
    with locked(cache / f"{digest}.lock"):
        return _kept(cache / digest, digest) or _fetched(objects, digest, cache)


def _kept(folder: Path, digest: str) -> ModelRef | None:
    """Return the model in a folder if it is the wanted one."""
    try:
        found = model_ref(folder)
    except ModelError:  # missing, in part, or damaged
        return None
    return found if found.digest == digest else None


def _fetched(objects: Objects, digest: str, cache: Path) -> ModelRef:
    folder, temporary = cache / digest, cache / f".{token_hex(8)}.tmp"
    where = f"model {digest[:12]} of store {objects}"
    try:
        with storing(cache):
            temporary.mkdir()
            for name, content in _files(objects, digest, where).items():
                (temporary / name).write_bytes(content)
        try:
            found = model_ref(temporary)
        except ModelError as error:
            raise ModelError(f"{where} cannot be used: {error}") from None
        if found.digest != digest:
            raise ModelError(
                f"{where} is not the one of this run: its digest is {found.digest[:12]}; "
                f"restore {model_prefix(digest)} in the store, or give another --out"
            )
        with storing(cache):
            if folder.exists():
                shutil.rmtree(folder)
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return ModelRef(str(folder.resolve()), digest, found.family)


def _files(objects: Objects, digest: str, where: str) -> dict[str, bytes]:
    """Return the content of the files of a model, none of them larger than it may be."""
    prefix = model_prefix(digest)
    sizes = {entry.key.rpartition("/")[2]: entry.size for entry in objects.list(prefix)}
    for name, limit in _LIMITS.items():
        if sizes.get(name, 0) > limit:
            raise ModelError(
                f"{where} has a {name} of {sizes[name]} bytes, more than any model's; restore "
                f"{prefix} in the store, or give another --out"
            )
    try:
        return {name: objects.read(f"{prefix}/{name}") for name in _LIMITS}
    except MissingObjectError:
        raise ModelError(
            f"{where} is not complete; restore {prefix} in the store, or give another --out"
        ) from None
