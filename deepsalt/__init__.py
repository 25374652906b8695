"""Maps of surface soil salinity from hyperspectral satellite scenes.

Takes scenes as `Acquisition` values and a model; gives scene products, mosaics and Datasets. Read
`types.py` first, then `mapping.py` (stage 1) and `mosaic/build.py` (stage 2); ARCHITECTURE.md lists
the rooms.

Names are loaded when first used, so that ``import deepsalt`` loads neither torch nor rasterio nor
dask. Checkers and editors read their types in ``__init__.pyi``.
"""

from importlib import import_module

__version__ = "0.1.0"

_LIGHT = {
    "Acquisition": "deepsalt.types",
    "BandTable": "deepsalt.types",
    "Context": "deepsalt.context",
    "Limits": "deepsalt.validate",
    "ModelRef": "deepsalt.types",
    "MosaicGrid": "deepsalt.grid",
    "PixelGrid": "deepsalt.types",
    "Progress": "deepsalt.progress",
    "QualityFlag": "deepsalt.types",
    "Reach": "deepsalt.access",
    "Store": "deepsalt.store",
    "at_prevalence": "deepsalt.prevalence",
    "build_mosaic": "deepsalt.mosaic",
    "composite": "deepsalt.compositing",
    "ece_classes": "deepsalt.plot",
    "model_ref": "deepsalt.model.load",
    "open_mosaic": "deepsalt.reading",
    "open_product": "deepsalt.products",
    "salt_classes": "deepsalt.plot",
}
_OF_RUN = {
    "map_scene": "deepsalt.mapping",
    "mark_valid": "deepsalt.cube.quality",
    "open_scene": "deepsalt.cube.load",
    "predict_cube": "deepsalt.predict.cube",
    "predict_table": "deepsalt.predict.table",
    "read_acquisition": "deepsalt.scenes.base",
}
"""Names that need ``pip install 'deepsalt[run]'``."""
HOMES = _LIGHT | _OF_RUN

__all__ = ["__version__", *HOMES]


def __getattr__(name: str) -> object:
    """Import a public name from its home when it is first asked for (PEP 562)."""
    if name not in HOMES:
        raise AttributeError(f"module 'deepsalt' has no attribute {name!r}")
    if name in _OF_RUN:
        from deepsalt.extras import require

        require("run", f"deepsalt.{name}")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
