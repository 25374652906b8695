"""Fetches whole remote scenes: parallel ranges, within limits of servers and of space.

Takes an `Acquisition` with URLs, returns the same one with paths of complete and verified files.
Open `scenes.py` first; `objects.py` fetches one file, and `share.py` keeps within a server's
limits.
"""

from deepsalt.fetch.patience import Patience
from deepsalt.fetch.probe import Probe, probe
from deepsalt.fetch.scenes import Fetcher, hosts_of
from deepsalt.fetch.scratch import ScratchSpace
from deepsalt.fetch.share import Share

__all__ = ["Fetcher", "Patience", "Probe", "ScratchSpace", "Share", "hosts_of", "probe"]
