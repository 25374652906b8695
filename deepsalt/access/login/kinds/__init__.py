"""Kinds of login, a file each: from a profile and its secret to what its hosts are shown.

Each has one function, `obtain`. It is called once for all requests of the process that wait, and
again with what was refused. Add a kind here, in `profiles.KINDS` and in `sources.NEEDS`.
"""

from collections.abc import Awaitable, Callable, Mapping

from deepsalt.access.login.kinds import basic, bearer, earthdata, form, signed
from deepsalt.access.login.kinds.grant import Attempt, Grant

OBTAIN: Mapping[str, Callable[[Attempt], Awaitable[Grant]]] = {
    "basic": basic.obtain,
    "netrc": basic.obtain,
    "bearer": bearer.obtain,
    "form": form.obtain,
    "earthdata": earthdata.obtain,
    "signed": signed.obtain,
}

__all__ = ["OBTAIN", "Attempt", "Grant"]
