"""Remote scenes brought here whole: parallel ranges, within shares of servers, a bounded space."""

from deepsalt.fetch.patience import Patience
from deepsalt.fetch.scenes import Fetcher, hosts_of
from deepsalt.fetch.scratch import ScratchSpace
from deepsalt.fetch.share import Share

__all__ = ["Fetcher", "Patience", "ScratchSpace", "Share", "hosts_of"]
