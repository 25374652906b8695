"""Connections to the clouds: where servers are, who we are, and one connection for all who ask.

In comes a location; out comes obstore's store for it. Open first `connect.py`; `settings.py` and
`credentials.py` read the environment.
"""
