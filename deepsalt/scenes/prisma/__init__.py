"""PRISMA L2D: one HDF-EOS5 file.

In comes a path, out come an `Acquisition` and pixels by window. Open first `reader.py`;
`file.py` opens the HDF5 file, the hostile input it may be.
"""

from deepsalt.scenes.prisma.reader import PrismaReader, is_product, read_acquisition

__all__ = ["PrismaReader", "is_product", "read_acquisition"]
