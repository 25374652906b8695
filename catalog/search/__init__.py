"""Searching: one `search` for a catalogue in a folder and for a STAC API.

Takes a location and a `Query`; returns the matching Items, sorted, the same from a folder as from a
server. Answers of servers are untrusted until parsed. Open `search.py` first, then `query.py` (what
matches), `folder.py` (a folder, in several processes where it is large), `remote.py` (a server's
pages) and `server.py` (one request to a server).
"""

from catalog.search.query import Query
from catalog.search.search import search, select

__all__ = ["Query", "search", "select"]
