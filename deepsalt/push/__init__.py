"""Copies of the published mosaic where readers are: folders, object stores, Icechunk repositories.

A store is composed on a file system; `push` carries what its published version has over what the
target had, and readers of the target see the old version or the new one.
"""

from deepsalt.push.push import Pushed, open_mosaic, push, refuse_place

__all__ = ["Pushed", "open_mosaic", "push", "refuse_place"]
