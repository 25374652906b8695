"""Composes tiles whose scenes are all mapped while other scenes are still being mapped."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from threading import Condition

from deepsalt.grid import Tile
from deepsalt.mosaic import Builder
from deepsalt.naming import NamedThreads
from deepsalt.store import Period

logger = logging.getLogger(__name__)


class Ahead:
    """Composes tiles in its own thread, a few at a time; a context manager.

    Parameters
    ----------
    builder
        What composes tiles, and publishes in the end.
    period
        The period of the run.
    tiles
        Tiles under each scene of the run, including scenes already mapped.
    to_come
        Scenes still to be mapped.
    at_once
        Number of tiles to compose at a time; workers, which may change, map scenes meanwhile.
    """

    def __init__(
        self,
        builder: Builder,
        period: Period,
        tiles: Sequence[tuple[Tile, ...]],
        to_come: Iterable[int],
        *,
        at_once: Callable[[], int],
    ) -> None:
        self._builder = builder
        self._period = period
        self._tiles = tiles
        self._at_once = at_once
        self._left = Counter(tile for scene in to_come for tile in tiles[scene])
        self._all = len({tile for under in tiles for tile in under})
        self._ready: list[Tile] = []
        self._known: set[str] = set()
        self._over = False
        self._changed = Condition()
        self._thread = NamedThreads(1, "tiles")

    def __enter__(self) -> "Ahead":
        try:
            self._thread.submit(self._work).add_done_callback(_tell)
        except BaseException:  # a stop while the thread starts, which then would wait for ever
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Start no more tiles; wait for those in progress."""
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.shutdown()

    def done(self, scene: int, product: str) -> None:
        """Report that a scene is done, with its product if there is one."""
        with self._changed:
            if product:
                self._known.add(product)
            for tile in self._tiles[scene]:
                self._left[tile] -= 1
                if not self._left[tile]:
                    del self._left[tile]
                    self._ready.append(tile)
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._ready and not self._over:
                    self._changed.wait()
                # The build that publishes makes the last ones, as many at a time as it can.
                if self._over or not self._left:
                    return
                count = max(1, self._at_once())
                ready, self._ready = self._ready[:count], self._ready[count:]
                known = self._known
                self._known = set()
            period_tiles = [(self._period, tile) for tile in ready]
            self._builder.ahead(period_tiles, known=known, tiles=self._all)


def _tell(work: Future[None]) -> None:
    # An error in a tile ends the build that publishes, with a sentence.
    if error := work.exception():
        logger.warning("tiles are composed at the end, not ahead: %s", error)
