"""What computed the products of a store: instruction sets and devices, whose bits differ."""

from deepsalt.errors import StoreMismatchError
from deepsalt.store.documents import record_name
from deepsalt.store.store import Store

_PREFIX = "records/platforms"


def keep_to_platform(store: Store, platform: str, *, mixed: bool = False) -> None:
    """Record the platform that will compute products of a store; refuse a second kind.

    Parameters
    ----------
    store
        The store.
    platform
        Instruction set or device, as `deepsalt.model.platform.platform` returns it.
    mixed
        Whether the store may hold products of several platforms.

    Raises
    ------
    StoreMismatchError
        The store has products of another platform.
    StoreError
        The store cannot be read or written.
    """
    own = f"{_PREFIX}/{record_name(platform)}"
    is_new = store.objects.create(own, platform.encode())
    others = [entry.key for entry in store.objects.list(_PREFIX) if entry.key != own]
    if others and not mixed:
        other = store.objects.read(others[0]).decode(errors="replace")
        if is_new:
            store.objects.delete([own])
        raise StoreMismatchError(
            f"store {store} has products computed on {other}, but this run would compute on "
            f"{platform}, which rounds differently; use the same machines, another store, or "
            f"--allow-mixed"
        )
