"""Reaches the scheduler from outside the cluster: a local port, forwarded by the API server.

It needs nothing but the right to forward ports of pods, so it works through any firewall that
`kubectl` works through. Little goes over it: scenes as they are handed out, and their reports.
"""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward

from deepsalt.errors import DeepsaltError

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 2**18


@contextmanager
def tunnel(namespace: str, pod: Callable[[], str], port: int) -> Iterator[int]:
    """Forward connections to a local port to a pod until the block ends.

    Parameters
    ----------
    namespace
        Of the pod.
    pod
        Returns the pod's name; asked for each connection, since another pod may replace it.
    port
        Port of the pod.

    Yields
    ------
    int
        The local port, open to this machine only.
    """
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        waits = threading.Thread(
            target=_accept, args=(server, namespace, pod, port), name="tunnel", daemon=True
        )
        waits.start()
        try:
            yield server.getsockname()[1]
        finally:
            with suppress(OSError):  # wakes the thread that accepts
                server.shutdown(socket.SHUT_RDWR)


def _accept(server: socket.socket, namespace: str, pod: Callable[[], str], port: int) -> None:
    while True:
        try:
            near, _ = server.accept()
        except OSError:
            return
        threading.Thread(
            target=_forward, args=(near, namespace, pod, port), name="tunnel", daemon=True
        ).start()


def _forward(near: socket.socket, namespace: str, pod: Callable[[], str], port: int) -> None:
    """Carry one connection, both ways, until either end closes it."""
    with near:
        try:
            # Its own client: the library changes the one that it is given.
            api = client.CoreV1Api(client.ApiClient())
            name = pod()
            forwarded = portforward(
                api.connect_get_namespaced_pod_portforward, name, namespace, ports=str(port)
            )
        except (ApiException, DeepsaltError, OSError) as error:
            logger.debug("the tunnel to the scheduler cannot be opened: %s", error)
            return
        far = forwarded.socket(port)
        back = threading.Thread(target=_carry, args=(far, near), name="tunnel", daemon=True)
        back.start()
        _carry(near, far)
        back.join()
        far.close()


def _carry(source: Any, target: Any) -> None:
    """Copy what one socket receives to another; end both when it ends."""
    with suppress(OSError):
        while data := source.recv(_CHUNK_BYTES):
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
