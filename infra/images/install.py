"""Runs in the build of an image: install into its environment, take out what no role runs, compile.

    python3 install.py ARGUMENTS OF PIP

Only what this call installs is touched, so that each call is a layer of its own.
"""

import compileall
import os
import shutil
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path
from py_compile import PycInvalidationMode

ENVIRONMENT = Path("/opt/deepsalt")
UNUSED = {
    "torch": (
        "test",
        "include",
        "share",
        "bin/*Test",
        "bin/test_*",
        "bin/protoc*",
        "lib/*_test.so",
    ),
    "pyarrow": ("include", "src", "libarrow_flight.so*", "_flight*.so", "libarrow_python.so.*.*"),
    "kubernetes": ("aio",),
    "numpy": ("_core/include",),
}
"""Parts of packages that nothing imports, as patterns; every package's tests go too."""


def remove(path: Path) -> None:
    """Remove a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def prune(package: Path) -> None:
    """Remove what no role runs; a package that lacks what is listed has changed: look again."""
    for pattern in UNUSED.get(package.name, ()):
        found = list(package.glob(pattern))
        if not found:
            sys.exit(f"install.py: {package.name} has no {pattern}")
        for path in found:
            remove(path)
    for tests in sorted(package.glob("**/tests")):
        if (tests / "__init__.py").is_file():
            remove(tests)


def main() -> None:
    """Install, prune, compile."""
    (packages,) = ENVIRONMENT.glob("lib/python*/site-packages")
    before = set(packages.iterdir())
    # pip is the base's; the environment has none.
    into = ("pip", "--python", ENVIRONMENT / "bin/python", "install", "--root-user-action=ignore")
    subprocess.run([*into, "--no-compile", *sys.argv[1:]], check=True)
    for package in sorted(set(packages.iterdir()) - before):
        prune(package)
    # Unchecked: the builder sets files' times, and a read-only root cannot be compiled into later.
    for source in sorted(packages.rglob("*.py")):
        if not os.path.exists(cache_from_source(str(source))):
            compileall.compile_file(
                source, quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
            )


if __name__ == "__main__":
    main()
