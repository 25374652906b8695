"""Loading the packages that lie beside deepsalt, whatever else has their names.

`flows` and `catalog` are plain words: a user's folder may have packages of these names. Where that
folder comes first on Python's path, as the working directory does in Prefect's workers, it would
stand in for ours. What was loaded once stays, so doors into `flows` load both before anything else.
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
        Another package of that name is loaded already: a process can have one of them.
    """
    home = Path(__file__).parents[1]
    sys.path.insert(0, str(home))
    try:
        found = [import_module(name) for name in PACKAGES]
    finally:
        sys.path.remove(str(home))
    for package in found:
        where = Path(str(package.__file__)).parent
        if where != home / package.__name__:
            raise UsageError(
                f"{where} was loaded as `{package.__name__}`, which deepsalt has a package of as "
                "well; load deepsalt first, or run it in a process of its own"
            )
