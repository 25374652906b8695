"""Exceptions raised by deepsalt, catalog and flows.

::

    DeepsaltError
    ├── InputError            exit 2: the user's input cannot be used
    │   ├── UsageError            options that contradict each other, an empty search
    │   ├── ExtraMissingError     also an ImportError: needs an extra of the installation
    │   ├── FormatError           a product or table that is not what it claims to be
    │   │   └── UnsupportedError      valid, but unsuitable for salinity (L1C, DESIS, night)
    │   ├── GridError             CRS, resolution or region that does not fit
    │   └── ModelError            weights or card that are unreadable or disagree
    └── RunError              exit 1: the work itself failed
        ├── EngineLostError       what computes is out of reach; the run may begin again
        ├── StoreError            a store that cannot be written or has another layout
        │   ├── StoreMissingError     exit 2: there is no store at the given location
        │   ├── StoreMismatchError    exit 2: the store exists with another grid, model or periods
        │   ├── StoreAccessError      exit 2: credentials, rights or settings that do not open it
        │   ├── StoreUnfitError       exit 2: a server or file system that lacks a needed function
        │   ├── StoreAwayError        a server that is away or ill; may pass by itself
        │   ├── MissingObjectError    an object that does not exist
        │   ├── VersionMissingError   exit 2: the mosaic does not have the version, or no longer
        │   └── OvertakenError        another version was published meanwhile; nothing changed
        ├── DeviceError           a device that failed, where the CPU may not take over
        └── ReadError             pixels that cannot be read: truncated, vanished
            ├── LoginError            exit 2: a login that is missing, fails or has expired
            └── AwayError             a server that is away or ill; may pass by itself

Each message is one sentence that names the file, scene or band, what was found and what to do.
"""


class DeepsaltError(Exception):
    """Base of every error that deepsalt raises on purpose; `exit_code` is that of the command."""

    exit_code = 1


class InputError(DeepsaltError):
    """The user's input cannot be used."""

    exit_code = 2


class UsageError(InputError):
    """Options that contradict each other, or a request that selects nothing."""


class ExtraMissingError(InputError, ImportError):
    """The request needs an extra that is not installed."""


class FormatError(InputError):
    """A product, table or catalogue entry that is not what it claims to be."""


class UnsupportedError(FormatError):
    """A valid product that is unsuitable for salinity."""


class GridError(InputError):
    """A CRS, resolution, area or region that does not fit."""


class ModelError(InputError):
    """Weights or model card that cannot be read or that disagree."""


class RunError(DeepsaltError):
    """The work itself failed."""


class EngineLostError(RunError):
    """What a run computes on is out of reach; the run goes on where it was when it begins again."""


class StoppedError(RunError):
    """Work that was abandoned on request."""


class DeviceError(RunError):
    """A device that failed where the CPU may not take over, because it rounds differently."""


class StoreError(RunError):
    """A store that cannot be read or written."""


class StoreMissingError(StoreError):
    """There is no store at the given location."""

    exit_code = 2


class StoreMismatchError(StoreError):
    """A store that exists with another grid, model family or period layout."""

    exit_code = 2


class StoreAccessError(StoreError):
    """Credentials, rights, region or endpoint that do not open a store."""

    exit_code = 2


class StoreUnfitError(StoreError):
    """A server or file system that lacks a function that a store needs."""

    exit_code = 2


class StoreAwayError(StoreError):
    """A store's server that did not answer properly in time; a later try may succeed."""


class MissingObjectError(StoreError):
    """An object that does not exist in the store."""


class VersionMissingError(StoreError):
    """A version of a mosaic that never existed or was pruned."""

    exit_code = 2


class OvertakenError(StoreError):
    """The version to publish was made from one that readers no longer see."""


class ReadError(RunError):
    """Pixels that cannot be read although the product's metadata could."""


class LoginError(ReadError):
    """A login that a server asks for and that is missing, fails or has expired."""

    exit_code = 2


class AwayError(ReadError):
    """A server that did not answer properly in time; a later try may succeed."""
