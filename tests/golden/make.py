"""Makes the golden store of the present schema: `python -m tests.golden.make`."""

import sys
import tempfile
import zipfile
from pathlib import Path

from deepsalt.store import lift, quarantine, record_withdrawal
from deepsalt.store.store import SCHEMA
from tests.store.builders import add_small, build, make_store

HERE = Path(__file__).parent


def main() -> None:
    target = HERE / f"store-{SCHEMA}.zip"
    if target.exists():
        sys.exit(f"{target.name} is there; it is not made again")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        store = make_store(root)
        add_small(store, "a")
        add_small(store, "b", column=10)
        build(store, why="first")
        add_small(store, "c", column=90)
        build(store, why="second")
        record_withdrawal(store, ("test", "b"), "1", "clouds seen as salt")
        lift(store, ("test", "b"))
        quarantine(store, "test/d/1", "its pixels cannot be read")
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(root.rglob("*")):
                if path.is_file() and path.suffix != ".lock":
                    archive.write(path, path.relative_to(root))


if __name__ == "__main__":
    main()
