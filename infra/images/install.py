"""Runs in the build of an image: make one layer of its environment, in /layer.

    python3 install.py MODULES ARGUMENTS OF PIP

Installs what pip is asked for, takes out what no role runs, strips symbols, and compiles what
importing MODULES (with commas between them) loads, or everything if MODULES is "". The same
versions make the same bytes.
"""

import compileall
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable
from importlib.util import cache_from_source
from pathlib import Path
from py_compile import PycInvalidationMode

LAYER = Path("/layer")
ENVIRONMENT = Path("/opt/deepsalt")
PYTHON = ENVIRONMENT / "bin/python"
ROOTS = (ENVIRONMENT, Path(sysconfig.get_path("stdlib")))
UNUSED = {
    # Programs and headers for whoever extends torch, and its compilers.
    "torch": (
        "test",
        "include",
        "share",
        "bin/*Test",
        "bin/test_*",
        "bin/protoc*",
        "_inductor",
        "onnx",
        "testing/_internal/distributed",
        "testing/_internal/generated",
        "testing/_internal/opinfo",
    ),
    "torchgen": ("packaged",),
    # Other services' protocols (objects are read and written with obstore), and second copies.
    "pyarrow": (
        "include",
        "src",
        "*_s3*.so*",
        "*_flight*.so*",
        "libarrow*.so",
        "libarrow_python*.so.*.*",
    ),
    # Formats that no scene and no picture comes in.
    "pillow.libs": ("libavif*",),
    "imagecodecs.libs": ("libaom*", "libavif*", "libjxl*", "libSZ3*", "libcpcodec*"),
    "kubernetes": ("aio",),
    "numpy": ("_core/include", "_core/lib", "f2py", "distutils"),
    # What pages in a browser are compiled from; they load the small files (.min.js).
    "bokeh": (
        "server/static/lib",
        "server/static/js/lib",
        "server/static/js/compiler.js",
        "server/static/js/bokeh*[!n].js",
    ),
    "matplotlib": ("mpl-data/sample_data",),
}
"""Parts of packages that nothing imports, as patterns."""
SOURCES = {".c", ".cpp", ".h", ".hpp", ".pxd", ".pxi", ".pyx"}
"""Sources of libraries that are compiled already; like tests, they go from every package."""
IMPORT = """
import sys
from importlib import import_module
for name in sys.argv[1].split(","):
    import_module(name)
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None))
"""


def contents(folders: Iterable[Path]) -> set[Path]:
    """Return the files and links in folders."""
    return {path for folder in folders for path in folder.rglob("*") if not is_folder(path)}


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder, rather than a file or a link."""
    return path.is_dir() and not path.is_symlink()


def prune(package: Path) -> None:
    """Remove what no role runs; a package that lacks what is listed has changed: look again."""
    unused = {path for path in package.rglob("tests") if (path / "__init__.py").is_file()}
    unused |= {path for path in package.rglob("*.*") if path.suffix in SOURCES}
    for pattern in UNUSED.get(package.name, ()):
        found = set(package.glob(pattern))
        if not found:
            sys.exit(f"install.py: {package.name} has no {pattern}")
        unused |= found
    for path in unused:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)  # went with a folder around it


def strip(files: Iterable[Path]) -> None:
    """Take symbols out of libraries that only debuggers read."""
    for path in files:
        # It would break these: their segments were moved when the wheel was made.
        if path.parent.name == "numpy.libs" or path.is_symlink():
            continue
        if path.open("rb").read(4) == b"\x7fELF":
            subprocess.run(["strip", "--strip-unneeded", path], check=True)


def loaded(modules: str) -> set[Path]:
    """Return the files that importing modules loads."""
    command = [str(PYTHON), "-c", IMPORT, modules]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {Path(line) for line in done.stdout.splitlines()}


def main(modules: str, *wanted: str) -> None:
    """Install, prune, strip, compile, and put what is new into the layer."""
    before = contents(ROOTS)
    if not PYTHON.exists():
        venv.create(ENVIRONMENT, symlinks=True)
    # pip is the base's; the environment has none.
    pip = ("pip", "--python", str(PYTHON), "install", "--root-user-action=ignore", "--no-compile")
    packages = next(ENVIRONMENT.glob("lib/python*/site-packages"))
    old = set(packages.iterdir())
    subprocess.run([*pip, *wanted], check=True)
    for package in sorted(set(packages.iterdir()) - old):
        prune(package)
    strip(contents(ROOTS) - before)
    # Bytecode of what never loads would cost more room than it is worth.
    for path in sorted(loaded(modules) if modules else contents(ROOTS) - before):
        if path.suffix == ".py" and not os.path.exists(cache_from_source(str(path))):
            # Never compared with the source: whoever builds the image sets the files' times.
            mode = PycInvalidationMode.UNCHECKED_HASH
            compileall.compile_file(path, quiet=1, invalidation_mode=mode)

    shutil.rmtree(LAYER, ignore_errors=True)
    for path in contents(ROOTS) - before:
        there = LAYER / path.relative_to("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, there, follow_symlinks=False)
    day = int(os.environ["SOURCE_DATE_EPOCH"])
    for path in (LAYER, *LAYER.rglob("*")):
        os.utime(path, (day, day), follow_symlinks=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
