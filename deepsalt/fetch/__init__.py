"""Remote scenes brought here whole: parallel ranges, a bounded scratch space, one scene ahead."""

from deepsalt.fetch.patience import Patience
from deepsalt.fetch.scenes import Fetcher
from deepsalt.fetch.scratch import ScratchSpace

__all__ = ["Fetcher", "Patience", "ScratchSpace"]
