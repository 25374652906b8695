"""The public reader hyperproc, which knows nothing of deepsalt."""

import sys
import warnings
from types import ModuleType


def open_product(path, **options):
    """Return the dataset of an EnMAP image or PRISMA file, in memory, as hyperproc reads it."""
    # hyperproc 0.1.2 claims Python 3.11, but its printing module has 3.12 syntax; readers do not
    # need it.
    report = ModuleType("hyperproc.report")
    report.describe = None
    sys.modules.setdefault("hyperproc.report", report)
    with warnings.catch_warnings():
        # rioxarray multiplies transforms in a way that affine is going to retire.
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        import hyperproc

        return hyperproc.open(path, **options).load()
