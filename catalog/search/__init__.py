"""Searching: one `search` for a catalogue in a folder and for a STAC API.

In come a place and a `Query`; out come the Items that match, the same from a folder as from a
server, sorted. What servers say is hostile until parsed. Open first `search.py`, then `query.py`
(what matches), `folder.py` (a folder, in several processes where it is large), `remote.py` (a
server's pages) and `asking.py` (one question to a server).
"""

from catalog.search.query import Query
from catalog.search.search import search, select

__all__ = ["Query", "search", "select"]
