"""Memory that batches share: fresh memory for every batch costs as much as the products in it."""

from torch import Tensor

_PADDING = 16  # numbers after each row: rows a power of two apart would share a few cache lines


class Memory:
    """Matrices by name, allocated once and overwritten by each batch."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, int, int], Tensor] = {}

    def matrix(self, name: str, rows: int, like: Tensor) -> Tensor:
        """Return a matrix (rows, s), s the last axis of `like`: first all 1, then as last used."""
        key = name, rows, int(like.shape[-1])
        if key not in self._held:
            self._held[key] = like.new_ones(rows, key[2] + _PADDING)[:, : key[2]]
        return self._held[key]
