"""The model's own STAC Item beside its card."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from catalog.publish.models import mlm_item
from deepsalt.errors import ModelError
from deepsalt.model.card import CARD_FILE, WEIGHTS_FILE, ModelCard
from deepsalt.model.load import model_ref

ITEM_FILE = "item.json"


def write_model_item(directory: Path, card: ModelCard) -> None:
    """Write ``item.json``, the card as an Item of the machine learning model extension.

    Raises
    ------
    ModelError
        It cannot be written.
    """
    item = mlm_item(
        json.loads(json.dumps(asdict(card))),
        digest=model_ref(directory).digest,
        weights_href=f"./{WEIGHTS_FILE}",
        card_href=f"./{CARD_FILE}",
        created=datetime.now(UTC).replace(microsecond=0),
    )
    try:
        text = json.dumps(item.to_dict(include_self_link=False), indent=1)
        (directory / ITEM_FILE).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise ModelError(
            f"{directory / ITEM_FILE} cannot be written ({error}); choose another folder"
        ) from error
