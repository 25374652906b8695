"""Talking to servers: which hrefs are URLs, whom we may ask on somebody's word, and how we ask.

In comes a URL from somebody's document, out comes what that server answers, or a refusal. Open
first `reach.py`.

`hrefs` says what may be shown of a URL and opens buckets, `reach` judges hosts and addresses,
`archives` knows how much a host bears, and `web` speaks HTTP, one hop at a time. Credentials come
from the environment that the cloud libraries read (``AWS_*``, ``GOOGLE_*``, ``AZURE_*``), or are
part of a URL; no option, record, graph or message holds them.
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
