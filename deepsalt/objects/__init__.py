"""The only access to the bytes of a store: a folder, a bucket, or the memory of this process.

Takes a path or URI and keys, returns bytes: `Objects.of("s3://maps/salt").read("store.json")`. No
other package opens files or connections of a store. Open `objects.py` first.

==================  ====================================================================
`location.py`       a path or URI, checked; which keys are valid
`objects.py`        the value `Objects`: read, write, create, list, delete; Zarr groups
`folder.py`         these verbs on files, on disk when they return
`bucket.py`         these verbs through obstore, and who created if an answer is lost
`series.py`         numbered objects of which the highest counts
`zarr.py`           Zarr's store over objects
`repository.py`     the same location for Icechunk
`connection/`       servers and credentials from the environment; shared connections
`sentences.py`      errors of libraries and servers as sentences
`disk.py`           errors of the operating system as sentences
==================  ====================================================================
"""

from deepsalt.objects.entry import Entry
from deepsalt.objects.objects import Objects
from deepsalt.objects.repository import create_repository, icechunk_storage
from deepsalt.objects.sentences import reaching
from deepsalt.objects.series import append, heads, history, last_number, latest, read_number, trim

__all__ = [
    "Entry",
    "Objects",
    "append",
    "create_repository",
    "heads",
    "history",
    "icechunk_storage",
    "last_number",
    "latest",
    "reaching",
    "read_number",
    "trim",
]
