"""STAC Item of a model, after the machine learning model extension (MLM) 1.4."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import pystac

from catalog.extensions import used_extensions
from catalog.fields import Fields
from catalog.publish.products import MODELS, box_geometry

_WORLD = (-180.0, -90.0, 180.0, 90.0)
_SHA256_MULTIHASH = "1220"  # multihash prefix of the file extension: SHA-256, 32 bytes


def mlm_item(
    card: Mapping[str, Any], *, digest: str, weights_href: str, card_href: str, created: datetime
) -> pystac.Item:
    """Return the Item of a model.

    A model may be used anywhere and has no date of observation: its box is the world, as the
    extension advises and tables of Items need, and its date that of its creation.

    Parameters
    ----------
    card
        The model card's JSON object, see `deepsalt.model.card.ModelCard`.
    digest
        SHA-256 (hexadecimal) over weights and card; its first 12 digits end the Item's id.
    weights_href, card_href
        ``model.safetensors`` and ``card.json``, relative to the Item's place or absolute.
    created
        Time of the model's creation, UTC.

    Raises
    ------
    FormatError
        A field of the card is missing or invalid.
    """
    fields = Fields.of(card, "the model card")
    name = _required(fields, "name")
    properties = _properties(fields, name, digest)
    weights = pystac.Asset(
        weights_href,
        title="Weights",
        media_type="application/octet-stream",
        roles=["mlm:model", "mlm:weights", "data"],
        extra_fields={
            "mlm:artifact_type": "safetensors",
            # The extension requires bands among the properties; STAC requires them on an asset as
            # well.
            "bands": properties["bands"],
            "file:checksum": _SHA256_MULTIHASH + _required(fields, "weights_sha256"),
        },
    )
    card_asset = pystac.Asset(
        card_href, title="Model card", media_type="application/json", roles=["metadata"]
    )
    return pystac.Item(
        id=f"{name}-{digest[:12]}",
        geometry=box_geometry(_WORLD),
        bbox=list(_WORLD),
        datetime=created,
        properties=properties,
        stac_extensions=used_extensions(properties, weights.extra_fields),
        collection=MODELS,
        assets={"model": weights, "card": card_asset},
    )


def _bands(fields: Fields) -> list[dict[str, Any]]:
    centers_nm = fields.numbers("bands_nm") or ()
    width_nm = fields.number("band_width_nm")
    width = {} if width_nm is None else {"eo:full_width_half_max": _micrometres(width_nm)}
    return [
        {"name": f"{center:g}", "eo:center_wavelength": _micrometres(center), **width}
        for center in centers_nm
    ]


def _properties(fields: Fields, name: str, digest: str) -> dict[str, Any]:
    described = _bands(fields)
    bands = [band["name"] for band in described]
    normalisation = fields.text("normalisation")
    outputs = dict(Fields.of(fields.values.get("outputs"), "'outputs' of the model card").values)
    return {
        "title": name,
        "description": f"Surface salinity, {fields.text('ec_method') or 'method not stated'}.",
        "version": _required(fields, "version"),
        "bands": described,
        "mlm:name": name,
        "mlm:architecture": _required(fields, "family"),
        "mlm:tasks": ["regression"],
        "mlm:framework": "PyTorch",
        "mlm:input": [
            {
                "name": "reflectance",
                **({"description": normalisation} if normalisation else {}),
                "bands": bands,
                "input": {
                    "shape": [-1, len(bands)],
                    "dim_order": ["batch", "bands"],
                    "data_type": "float32",
                },
            }
        ],
        "mlm:output": [
            {
                "name": output,
                **({"description": str(meaning)} if meaning else {}),
                "tasks": ["regression"],
                "result": {"shape": [-1], "dim_order": ["batch"], "data_type": "float32"},
            }
            for output, meaning in outputs.items()
        ],
        "deepsalt:model_digest": digest,
        "deepsalt:limits": [str(limit) for limit in fields.entries("limits")],
    }


def _required(fields: Fields, name: str) -> str:
    text = fields.text(name)
    if not text:
        raise fields.wrong(name, "text")
    return text


def _micrometres(nm: float) -> float:
    return float(Decimal(repr(nm)) / 1000)
