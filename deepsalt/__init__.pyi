# What checkers and editors see of the names that `__init__.py` loads lazily.
from deepsalt.access import Reach as Reach
from deepsalt.compositing import composite as composite
from deepsalt.context import Context as Context
from deepsalt.cube.load import open_scene as open_scene
from deepsalt.cube.quality import mark_valid as mark_valid
from deepsalt.grid import MosaicGrid as MosaicGrid
from deepsalt.mapping import map_scene as map_scene
from deepsalt.model.load import model_ref as model_ref
from deepsalt.mosaic import build_mosaic as build_mosaic
from deepsalt.plot import ece_classes as ece_classes
from deepsalt.plot import salt_classes as salt_classes
from deepsalt.predict.cube import predict_cube as predict_cube
from deepsalt.predict.table import predict_table as predict_table
from deepsalt.prevalence import at_prevalence as at_prevalence
from deepsalt.products import open_product as open_product
from deepsalt.progress import Progress as Progress
from deepsalt.reading import open_mosaic as open_mosaic
from deepsalt.scenes.base import read_acquisition as read_acquisition
from deepsalt.store import Store as Store
from deepsalt.types import Acquisition as Acquisition
from deepsalt.types import BandTable as BandTable
from deepsalt.types import ModelRef as ModelRef
from deepsalt.types import PixelGrid as PixelGrid
from deepsalt.types import QualityFlag as QualityFlag
from deepsalt.validate import Limits as Limits

__version__: str

__all__ = [
    "Acquisition",
    "BandTable",
    "Context",
    "Limits",
    "ModelRef",
    "MosaicGrid",
    "PixelGrid",
    "Progress",
    "QualityFlag",
    "Reach",
    "Store",
    "__version__",
    "at_prevalence",
    "build_mosaic",
    "composite",
    "ece_classes",
    "map_scene",
    "mark_valid",
    "model_ref",
    "open_mosaic",
    "open_product",
    "open_scene",
    "predict_cube",
    "predict_table",
    "read_acquisition",
    "salt_classes",
]
