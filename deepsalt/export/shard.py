"""Takes encoded shards apart and checks them, without decoding a pixel."""

from collections.abc import Iterator

import google_crc32c
import numpy as np

from deepsalt.errors import StoreError

_CRC_BYTES = 4
_NO_CHUNK = 2**64 - 1


def chunks_of(shard: bytes, edge: int, where: str) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Yield the encoded chunks of a shard, each verified by its own checksum.

    Parameters
    ----------
    shard
        The shard: chunks, each followed by its CRC-32C, and an index followed by a CRC-32C.
    edge
        Chunks along an edge.
    where
        Name of the shard, for the message.

    Yields
    ------
    tuple
        Row and column of the chunk in the shard, and its bytes. Chunks of fill values are left out.

    Raises
    ------
    StoreError
        A checksum does not match the bytes.
    """
    length = 16 * edge * edge + _CRC_BYTES
    index = _checked(shard[-length:], where) if len(shard) >= length else b""
    if not index:
        raise _damaged(where)
    places = np.frombuffer(index, "<u8").reshape(edge, edge, 2)
    for row in range(edge):
        for column in range(edge):
            start, size = (int(number) for number in places[row, column])
            if start == _NO_CHUNK:
                continue
            chunk = shard[start : start + size]
            if len(chunk) != size:
                raise _damaged(where)
            _checked(chunk, where)
            yield (row, column), chunk


def _checked(data: bytes, where: str) -> bytes:
    """Return bytes without the checksum that follows them."""
    body = data[:-_CRC_BYTES]
    checksum = data[-_CRC_BYTES:]
    if google_crc32c.value(body) != int.from_bytes(checksum, "little"):
        raise _damaged(where)
    return body


def _damaged(where: str) -> StoreError:
    return StoreError(f"{where} is damaged: its checksum does not match; run `deepsalt check`")
