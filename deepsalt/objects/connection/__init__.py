"""Connections to object stores: servers, credentials, and one shared connection each.

Takes a location; returns obstore's store for it. Open `connect.py` first; `settings.py` and
`credentials.py` read the environment.
"""
