"""Exceptions raised by deepsalt, catalog and flows.

::

    DeepsaltError
    ├── InputError            exit 2: what the user gave cannot be used
    │   ├── UsageError            options that contradict each other, an empty search
    │   ├── ExtraMissingError     an ImportError, too: needs an extra of the installation
    │   ├── FormatError           a product or table that is not what it claims to be
    │   │   └── UnsupportedError      understood, but not fit for salinity (L1C, DESIS, night)
    │   ├── GridError             CRS, resolution or region that does not fit
    │   └── ModelError            weights or card unreadable or in disagreement
    └── RunError              exit 1: the work itself failed
        ├── StoreError            a store that cannot be written or is of another layout
        │   ├── StoreMissingError     exit 2: there is no store where one was named
        │   ├── StoreMismatchError    exit 2: the store exists with another grid, model or periods
        │   ├── StoreAccessError      exit 2: credentials, rights or settings that do not open it
        │   ├── StoreUnfitError       exit 2: a server or file system that cannot do what is needed
        │   ├── StoreAwayError        a server that is away or ill; may pass by itself
        │   ├── MissingObjectError    an object that is not there
        │   ├── VersionMissingError   exit 2: the mosaic has no such version, or no longer
        │   └── OvertakenError        somebody else published meanwhile; nothing was changed
        └── ReadError             pixels that cannot be read: truncated, vanished
            └── AwayError             a server that is away or ill; may pass by itself

Each message is one sentence that names the file, scene or band, says what was found and what to do.
"""


class DeepsaltError(Exception):
    """Base of every error that deepsalt raises on purpose; `exit_code` is the command's."""

    exit_code = 1


class InputError(DeepsaltError):
    """What the user gave cannot be used."""

    exit_code = 2


class UsageError(InputError):
    """Options that contradict each other, or a request that selects nothing."""


class ExtraMissingError(InputError, ImportError):
    """What was asked for needs an extra of the installation that is not there."""


class FormatError(InputError):
    """A product, table or catalogue entry that is not what it claims to be."""


class UnsupportedError(FormatError):
    """A product that was understood but is not fit for salinity."""


class GridError(InputError):
    """A CRS, resolution, area or region that does not fit."""


class ModelError(InputError):
    """Weights or model card that cannot be read or that disagree."""


class RunError(DeepsaltError):
    """The work itself failed."""


class StoppedError(RunError):
    """Work that was given up because it was asked to."""


class StoreError(RunError):
    """A store that cannot be read or written."""


class StoreMissingError(StoreError):
    """No store where one was named."""

    exit_code = 2


class StoreMismatchError(StoreError):
    """A store that exists with another grid, model family or period layout."""

    exit_code = 2


class StoreAccessError(StoreError):
    """Credentials, rights, region or endpoint that do not open a store."""

    exit_code = 2


class StoreUnfitError(StoreError):
    """A server or file system that cannot do what a store needs."""

    exit_code = 2


class StoreAwayError(StoreError):
    """A store's server that did not answer well for as long as we wait; another time it may."""


class MissingObjectError(StoreError):
    """An object that is not in the store."""


class VersionMissingError(StoreError):
    """A version of a mosaic that there never was or that was pruned."""

    exit_code = 2


class OvertakenError(StoreError):
    """What was to be published follows a version that readers do not see any more."""


class ReadError(RunError):
    """Pixels that cannot be read although the product's metadata could."""


class AwayError(ReadError):
    """A server that did not answer well for as long as we wait; another time it may."""
