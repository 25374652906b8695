"""Loading the packages that lie beside deepsalt, whatever else has their names.

`flows` and `catalog` are common words: a user's folder may have packages of these names. If that
folder comes first on Python's path, as the working directory does in Prefect's workers, they would
replace ours. A loaded package stays loaded, so entry points into `flows` load both before anything
else.
"""

import sys
from importlib import import_module
from pathlib import Path

from deepsalt.errors import UsageError

PACKAGES = ("catalog", "flows")


def load_beside() -> None:
    """Load `catalog` and `flows` from where deepsalt lies.

    Raises
    ------
    UsageError
        Another package of that name is already loaded: a process can have only one.
    """
    home = Path(__file__).parents[1]
    sys.path.insert(0, str(home))
    try:
        found = [import_module(name) for name in PACKAGES]
    finally:
        sys.path.remove(str(home))
    for package in found:
        ours = home / package.__name__
        places = [Path(place) for place in package.__path__]
        if not any(place.exists() and place.samefile(ours) for place in places):
            loaded = ", ".join(map(str, places))
            raise UsageError(
                f"deepsalt needs its own package `{package.__name__}` of {ours}, but {loaded} was "
                "loaded under that name; load deepsalt first, or run it in its own process"
            )
