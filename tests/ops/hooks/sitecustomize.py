"""Loaded by each Python process of a tested service; writes down connections off this machine.

The file is named by `DEEPSALT_TEST_HOOK`; nothing is let through. The ids of the processes that do
so lie beside it.
"""

import os
import socket

_WRITTEN = os.environ.get("DEEPSALT_TEST_HOOK")
_NEAR = ("127.", "::1", "localhost", "0.0.0.0")
_connect, _connect_ex, _resolve = (
    socket.socket.connect,
    socket.socket.connect_ex,
    socket.getaddrinfo,
)


def _judge(address: object) -> None:
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, bytes):
        host = host.decode()
    if isinstance(host, str) and host and not host.startswith(("/", "\0", *_NEAR)):
        with open(str(_WRITTEN), "a") as file:
            file.write(f"{host}\n")
        raise OSError(f"a test lets nothing leave this machine: {host}")


def _checked_connect(self: socket.socket, address: object) -> None:
    _judge(address)
    return _connect(self, address)  # type: ignore[arg-type]


def _checked_connect_ex(self: socket.socket, address: object) -> int:
    _judge(address)
    return _connect_ex(self, address)  # type: ignore[arg-type]


def _checked_resolve(host: object, *args: object, **kwargs: object) -> object:
    if host not in (None, socket.gethostname(), "") and not str(host).startswith(_NEAR):
        _judge((host,))
    return _resolve(host, *args, **kwargs)  # type: ignore[arg-type]


if _WRITTEN:
    with open(f"{_WRITTEN}.by", "a") as pids:
        pids.write(f"{os.getpid()}\n")
    socket.socket.connect = _checked_connect  # type: ignore[assignment,method-assign]
    socket.socket.connect_ex = _checked_connect_ex  # type: ignore[assignment,method-assign]
    socket.getaddrinfo = _checked_resolve  # type: ignore[assignment]
