"""Access to servers: which hrefs are URLs, which hosts a document may refer to, and HTTP.

Takes a URL from an untrusted document; returns the server's answer, or refuses. Open `reach.py`
first.

`hrefs` strips secrets from URLs and opens buckets, `reach` judges hosts and addresses, `archives`
has the limits of known hosts, `web` speaks HTTP, one hop at a time, and `login/` has what hosts are
shown that ask for a login. Credentials come from the environment (``AWS_*``, ``GOOGLE_*``,
``AZURE_*`` and what profiles name), from files that nobody else may read, or are part of a URL; no
option, record, graph or message holds them.
"""

from deepsalt.access.archives import HostLimit, limit_of
from deepsalt.access.hrefs import (
    client_options,
    host_of,
    is_remote,
    is_web,
    open_bucket,
    without_secrets,
)
from deepsalt.access.reach import Reach, checked_hosts, reach_of

__all__ = [
    "HostLimit",
    "Reach",
    "checked_hosts",
    "client_options",
    "host_of",
    "is_remote",
    "is_web",
    "limit_of",
    "open_bucket",
    "reach_of",
    "without_secrets",
]
