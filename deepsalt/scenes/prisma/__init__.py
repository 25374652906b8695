"""PRISMA L2D: one HDF-EOS5 file.

Takes a path, returns an `Acquisition` and pixels by window. Open `reader.py` first; `file.py` opens
the HDF5 file as untrusted input.
"""

from deepsalt.scenes.prisma.reader import PrismaReader, is_product, read_acquisition

__all__ = ["PrismaReader", "is_product", "read_acquisition"]
