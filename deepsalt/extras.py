"""The extras of the installation: what each brings, and a sentence for who lacks it."""

from importlib.util import find_spec

from deepsalt.errors import ExtraMissingError

_RUN = (
    "torch",
    "safetensors",
    "dask",
    "distributed",
    "cryptography",
    "stackstac",
    "rasterio",
    "h5py",
    "imagecodecs",
    "defusedxml",
    "pyarrow",
)
MODULES = {
    "run": _RUN,
    "train": (*_RUN, "sklearn", "scipy", "threadpoolctl"),
    "prefect": (*_RUN, "prefect"),
}
"""Modules that an extra brings, by the names they are imported with."""


def installed(module: str) -> bool:
    """Say whether a module could be imported; it is not."""
    return find_spec(module) is not None


def require(extra: str, what: str) -> None:
    """Refuse what needs an extra that is not installed.

    Parameters
    ----------
    extra
        A key of `MODULES`.
    what
        What needs it, as a user calls it.

    Raises
    ------
    ExtraMissingError
        Modules are missing.
    """
    lacking = [module for module in MODULES[extra] if not installed(module)]
    if lacking:
        raise ExtraMissingError(
            f"{what} needs more than is installed here: pip install 'deepsalt[{extra}]' brings "
            f"{', '.join(lacking)}"
        )
