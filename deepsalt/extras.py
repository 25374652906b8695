"""The extras of the installation: what each installs, and the error if one is missing."""

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
_PREFECT = ("prefect", "sqlalchemy", "psycopg", "prometheus_client", "cronsim", "apprise")
_KUBERNETES = ("kubernetes", "prometheus_client", "bokeh")
MODULES = {
    "run": _RUN,
    "train": (*_RUN, "sklearn", "scipy", "threadpoolctl"),
    "prefect": (*_RUN, *_PREFECT),
    "kubernetes": (*_RUN, *_KUBERNETES),
    "service": (*_RUN, *_PREFECT, *_KUBERNETES, "prefect_kubernetes"),
}
"""Modules that an extra installs, by their import names."""


def installed(module: str) -> bool:
    """Return whether a module could be imported, without importing it."""
    return find_spec(module) is not None


def require(extra: str, what: str) -> None:
    """Refuse what needs an extra that is not installed.

    Parameters
    ----------
    extra
        A key of `MODULES`.
    what
        What needs it, in the user's terms.

    Raises
    ------
    ExtraMissingError
        Modules are missing.
    """
    lacking = [module for module in MODULES[extra] if not installed(module)]
    if lacking:
        raise ExtraMissingError(
            f"{what} needs packages that are not installed: pip install 'deepsalt[{extra}]' adds "
            f"{', '.join(lacking)}"
        )
