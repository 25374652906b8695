"""What a store is asked for, counted at its door."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

import pytest

from deepsalt.objects.bucket import Bucket
from deepsalt.objects.entry import Entry
from tests.objects.loopback import Loopback, serving

_PAGE = 1000


@contextmanager
def served(environment: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """Serve the bucket ``salt`` to this process; `Loopback.asked` has the requests."""
    with serving() as server:
        environment.setenv("AWS_ENDPOINT_URL", server.url)
        environment.setenv("AWS_REGION", "us-east-1")
        environment.setenv("AWS_ACCESS_KEY_ID", "somebody")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "open-sesame")
        yield server


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count what is asked of buckets and memory by verb, a listing once per 1,000 objects.

    Icechunk has its own way to them and is not counted.
    """
    asked: Counter[str] = Counter()
    listing = Bucket.list

    def paged(self: Bucket, prefix: str, offset: str | None) -> Iterator[Entry]:
        found = listing(self, prefix, offset)
        while True:
            asked["list"] += 1
            page = [*islice(found, _PAGE)]
            yield from page
            if len(page) < _PAGE:
                return

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bucket, "list", paged)
        for verb in ("read", "write", "create", "delete", "folders"):
            patch.setattr(Bucket, verb, _counting(asked, verb))
        yield asked


def _counting(asked: Counter[str], verb: str) -> object:
    really = getattr(Bucket, verb)

    def asking(self: Bucket, *args: str | bytes | Iterable[str]) -> object:
        asked[verb] += 1
        return really(self, *args)

    return asking
