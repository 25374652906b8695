"""Classes of salt and of ECe, and the quicklook: one picture of what a mosaic shows and what not.

The quicklook has two maps: the mean, and the classes of salt (`salt.py`), which the mean hides.
Classes of the mean are bins of the mapped electrical conductivity at the breaks of the USDA
salinity classes (2, 4, 8, 16 dS/m) and two finer ones below. Those classes are defined for ECe;
whatever EC the model predicts is named in the picture, and class names are left out on purpose.
`ece_classes` (`ece.py`) gives them where the map is of ECe or a conversion to it is known.
Colours rise in lightness order, so they can be told apart with any colour vision; reasons for
missing estimates are muted.

Takes a mosaic or one period of a version, returns a PNG. Open `quicklook.py` first, then
`picture.py` (what is counted) and `map.py` (how it is drawn).
"""

from deepsalt.plot.ece import ece_classes
from deepsalt.plot.quicklook import quicklook
from deepsalt.plot.salt import salt_classes

__all__ = ["ece_classes", "quicklook", "salt_classes"]
