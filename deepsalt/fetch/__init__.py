"""Remote scenes brought here whole: parallel ranges, within shares of servers, a bounded space.

In comes an `Acquisition` with URLs, out comes the same one with paths of files that are complete
and as they were catalogued. Open first `scenes.py`; `objects.py` brings one file, and `share.py`
keeps within what a server allows.
"""

from deepsalt.fetch.patience import Patience
from deepsalt.fetch.scenes import Fetcher, hosts_of
from deepsalt.fetch.scratch import ScratchSpace
from deepsalt.fetch.share import Share

__all__ = ["Fetcher", "Patience", "ScratchSpace", "Share", "hosts_of"]
