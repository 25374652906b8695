"""Maps of surface soil salinity from hyperspectral satellite scenes.

Names are loaded when first used, so that ``import deepsalt`` loads neither torch nor rasterio nor
dask.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "Acquisition": "deepsalt.types",
    "BandTable": "deepsalt.types",
    "QualityFlag": "deepsalt.types",
    "MosaicGrid": "deepsalt.grid",
    "ModelRef": "deepsalt.types",
    "PixelGrid": "deepsalt.types",
    "Context": "deepsalt.context",
    "MosaicReport": "deepsalt.mosaic",
    "SceneReport": "deepsalt.mapping",
    "Store": "deepsalt.store",
    "build_mosaic": "deepsalt.mosaic",
    "composite": "deepsalt.composite",
    "map_scene": "deepsalt.mapping",
    "mark_valid": "deepsalt.cube.quality",
    "model_ref": "deepsalt.model.load",
    "open_mosaic": "deepsalt.reading",
    "open_product": "deepsalt.products",
    "open_scene": "deepsalt.cube.load",
    "predict_cube": "deepsalt.predict",
    "predict_table": "deepsalt.predict_table",
    "read_acquisition": "deepsalt.scenes.base",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    """Import a public name from its home when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'deepsalt' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
