"""The model's own STAC Item beside its card."""

from datetime import UTC, datetime
from pathlib import Path

from catalog.publish.models import mlm_item
from deepsalt.documents import encode, parse_document, replace_file
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
        parse_document(card.to_bytes(), CARD_FILE),
        digest=model_ref(directory).digest,
        weights_href=f"./{WEIGHTS_FILE}",
        card_href=f"./{CARD_FILE}",
        created=datetime.now(UTC).replace(microsecond=0),
    )
    try:
        content = encode(item.to_dict(include_self_link=False), as_written=True)
        replace_file(directory / ITEM_FILE, content)
    except OSError as error:
        raise ModelError(
            f"{directory / ITEM_FILE} cannot be written ({error}); choose another folder"
        ) from error
