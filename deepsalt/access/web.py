"""HTTP one hop at a time: every host, address and redirect is judged before anything is sent.

Libraries that follow redirects, or resolve a name after it was judged, can be led anywhere; hence
this thin client on httpcore, which makes its own connections. It also asks for the login of each
hop's own host, so that no credential goes along a redirect (`deepsalt.access.login`).
"""

import asyncio
import base64
import functools
import logging
import os
import re
import ssl
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote, unquote, urljoin, urlsplit

import httpcore

from deepsalt.access.hrefs import DEFAULT_PORTS, is_web, without_secrets
from deepsalt.access.reach import (
    OWN,
    PUBLIC,
    Address,
    Reach,
    downgrades,
    network_of,
    port_of,
    resolve,
    same_server,
)

MAX_HOPS = 5
"""Maximum redirects of one request."""

CONNECT_TIMEOUT_S = 10.0
SILENCE_S = 60.0
"""Longest wait for the next piece of an answer; callers may bound the whole answer."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FAILURES = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.ProxyError,
)
_DRAINED_BYTES = 65_536
_HOST = re.compile(r"[A-Za-z0-9._-]+")
_USER = re.compile(r"[\w.~%!$&'()*+,;=:-]*")
_ALWAYS = {"User-Agent": "deepsalt", "Accept-Encoding": "identity"}

# At DEBUG it logs whole answers: session cookies, and redirects to signed URLs.
logging.getLogger("httpcore.http11").setLevel(logging.INFO)


class WebError(Exception):
    """A server that did not answer, broke off, or does not speak HTTP; may be temporary."""


class RefusedError(Exception):
    """A refused hop.

    Parameters
    ----------
    url
        Where it leads, without credentials.
    reason
        The reason, as the end of a sentence: what it is and what to do.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{without_secrets(url)}, {reason}")


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a chain of redirects.

    Parameters
    ----------
    url
        Its final URL, written so that every library reads the same host in it.
    status
        HTTP status.
    headers
        By lower-case name.
    body
        The bytes as sent: compressed if the headers say so.
    cookies
        The Set-Cookie headers, of which there may be several.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]
    cookies: tuple[str, ...] = ()

    @property
    def target(self) -> str | None:
        """Where the answer redirects to; None if it does not."""
        return self.headers.get("location") if self.status in _REDIRECTS else None


class Pass(Protocol):
    """A request's way into a host that asks for a login."""

    def is_door(self, url: str) -> bool:
        """Return whether a redirect to this URL asks for a login."""

    async def dress(self, url: str) -> tuple[str, Mapping[str, str]]:
        """Return the URL and the headers to send."""

    def refuses(self, answer: Answer) -> bool:
        """Return whether this is not what was asked for, but the wish for a login."""

    def admit(self, url: str, answer: Answer) -> None:
        """Note that the host was content."""

    async def renew(self, url: str, *, again: bool) -> None:
        """Log in after a refusal of this URL; raise if that cannot help, or was done `again`."""


class Passes(Protocol):
    """The logins that a client may use."""

    def of(self, url: str) -> Pass | None:
        """Return the pass for a host; None where no login is known."""


class Web:
    """Sends requests to web servers within a reach; an async context manager.

    Parameters
    ----------
    reach
        The hosts that may be contacted.
    follows
        Whether to follow a redirect, given its source and target. Default: every one that does not
        leave https.
    logins
        What hosts that ask for a login are shown. Default: none is.
    addresses
        Resolves a host and port.
    """

    def __init__(
        self,
        reach: Reach,
        *,
        follows: Callable[[str, str], bool] | None = None,
        logins: Passes | None = None,
        addresses: Callable[[str, int], list[Address]] = resolve,
    ) -> None:
        self._reach = reach
        self._follows = follows
        self._logins = logins
        self._backend = _JudgingBackend(reach, addresses)
        self._pools: dict[str | None, httpcore.AsyncConnectionPool] = {}

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> AsyncIterator[Answer]:
        """Send a request and follow its redirects; the answer is open inside the block.

        Method and content are repeated at each hop except for 303: a search turned into a GET would
        silently find everything. Credentials in `url`, and an Authorization header, go only to its
        own host and port. A host that wants a login is asked once more after a new one.

        Raises
        ------
        RefusedError
            A hop is not allowed.
        WebError
            There is no answer, or too many hops.
        LoginError
            A host asks for a login that is missing, fails or does not help.
        """
        for again in (False, True):
            async with self._chain(method, url, headers or {}, content) as (answer, shown):
                if shown is None or not shown.refuses(answer):
                    yield answer
                    return
                await _drain(answer)
            await shown.renew(url, again=again)
        raise WebError("its login ended as soon as it began")

    @asynccontextmanager
    async def _chain(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> AsyncIterator[tuple[Answer, Pass | None]]:
        """Follow redirects to the end, or to where a login is asked for."""
        sent = {**headers, **_authorization(url)}
        for _ in range(MAX_HOPS + 1):
            shown = self._pass_for(url, sent)
            address, dress = await shown.dress(url) if shown else (url, {})
            async with self.hop(method, address, {**sent, **dress}, content) as answer:
                location = answer.target
                target = None if location is None else _joined(url, location)
                if target is None or (shown and shown.is_door(target)):
                    if shown and not shown.refuses(answer):
                        shown.admit(url, answer)
                    yield answer, shown
                    return
                await _drain(answer)
            self._check(url, target)
            if not same_server(url, target):
                sent.pop("Authorization", None)
                if shown:
                    shown.admit(url, answer)
            if answer.status == 303:
                method = "GET"
                content = None
            url = target
        raise RefusedError(url, f"after {MAX_HOPS} redirects; give the address at which they end")

    def _pass_for(self, url: str, sent: Mapping[str, str]) -> Pass | None:
        """Return the pass for a hop, unless the URL's own credentials go there."""
        return None if self._logins is None or "Authorization" in sent else self._logins.of(url)

    def _check(self, url: str, target: str) -> None:
        if downgrades(url, target):
            raise RefusedError(target, "which leaves https; ask its operator to fix the redirect")
        if self._follows is not None and not self._follows(url, target):
            raise RefusedError(target, f"which is another host; {advice(target)}")

    @asynccontextmanager
    async def hop(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> AsyncIterator[Answer]:
        """Send one request and follow nothing; the answer is open inside the block.

        Raises
        ------
        RefusedError
            The host is not allowed.
        WebError
            There is no answer.
        """
        parts = _parts(url)
        names = {"Host": _host_header(parts), **_ALWAYS, **headers}
        timeouts = {"connect": CONNECT_TIMEOUT_S, "read": SILENCE_S, "write": SILENCE_S}
        failure = None
        try:
            pool = await self._pool(parts)
            async with pool.stream(
                method,
                parts,
                headers=[(name.encode(), value.encode()) for name, value in names.items()],
                content=content,
                extensions={"timeout": timeouts},
            ) as response:
                found = {
                    name.decode("latin-1").lower(): value.decode("latin-1")
                    for name, value in response.headers
                }
                cookies = tuple(
                    value.decode("latin-1")
                    for name, value in response.headers
                    if name.lower() == b"set-cookie"
                )
                yield Answer(_written(url, parts), response.status, found, _body(response), cookies)
        except _FAILURES as error:
            failure = WebError(_cause(error))
        if failure is not None:  # not in the block: what it was raised from may quote a cookie
            raise failure

    async def _pool(self, parts: httpcore.URL) -> httpcore.AsyncConnectionPool:
        """Return the connections to use: direct ones, or those of the environment's proxy."""
        proxy = _proxy_of(parts)
        if proxy is not None:
            await self._backend.judge_if_known(parts.host.decode(), parts.origin.port)
        if proxy not in self._pools:
            self._pools[proxy] = httpcore.AsyncConnectionPool(
                ssl_context=_certificates(),
                proxy=None if proxy is None else _as_proxy(proxy),
                # A proxy is the user's own choice, wherever it is.
                network_backend=self._backend if proxy is None else None,
                max_connections=None,
            )
        return self._pools[proxy]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pool in self._pools.values():
            await pool.aclose()


class _JudgingBackend(httpcore.AsyncNetworkBackend):
    """Connects only to the allowed addresses of a host."""

    def __init__(self, reach: Reach, addresses: Callable[[str, int], list[Address]]) -> None:
        self._reach = reach
        self._addresses = addresses
        self._wrapped = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            found = await asyncio.to_thread(self._addresses, host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved: {error}") from error
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in self._admitted(host, port, found):
            try:
                return await self._wrapped.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                failure = error
        raise failure

    def _admitted(self, host: str, port: int, found: list[Address]) -> list[Address]:
        admitted = [each for each in found if self._reach.admits(host, port, each)]
        if found and not admitted:
            network = network_of(found[0])
            kinds = f"{found[0]} ({network})"
            where = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            moved = "another network than before" if host == self._reach.home else kinds
            # Do not suggest opening a metadata service or a multicast address.
            remedy = advice(where) if network in {PUBLIC, *OWN} else "tell its operator"
            raise RefusedError(where, f"which lies on {moved}; {remedy}")
        return admitted

    async def judge_if_known(self, host: str, port: int) -> None:
        """Refuse a host that a proxy must not contact; it may know names that we do not."""
        try:
            found = await asyncio.to_thread(self._addresses, host, port)
        except (OSError, UnicodeError):
            return
        self._admitted(host, port, found)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def advice(url: str) -> str:
    """Return what to do about a refused host."""
    host = urlsplit(url).hostname or ""
    port = port_of(url)
    name = f"[{host}]" if ":" in host else host
    shown = name if port in {80, 443} else f"{name}:{port}"
    return f"if it is intended, give --allow-host {shown}"


def _parts(url: str) -> httpcore.URL:
    """Return a URL as the host and path to request, without its user.

    Raises
    ------
    RefusedError
        It is not a URL of a web server.
    """
    parts = urlsplit(url)
    try:
        if not is_web(url) or not parts.hostname:
            raise ValueError
        host = parts.hostname if _is_address(parts.hostname) else _ascii(parts.hostname)
        user = parts.netloc.rpartition("@")[0]
        if not (_is_address(host) or _HOST.fullmatch(host)) or not _USER.fullmatch(user):
            raise ValueError
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return httpcore.URL(
            scheme=parts.scheme.lower().encode(),
            host=host.encode("ascii"),
            port=None if port_of(url) == DEFAULT_PORTS[parts.scheme.lower()] else parts.port,
            target=quote(target, safe="%/:=&?~#+!$,;'@()*[]").encode(),
        )
    except (UnicodeError, ValueError):
        raise RefusedError(url, "which is not the address of a web server") from None


def _written(url: str, parts: httpcore.URL) -> str:
    user, at, _ = urlsplit(url).netloc.rpartition("@")
    return f"{parts.scheme.decode()}://{user}{at}{_host_header(parts)}{parts.target.decode()}"


def _joined(url: str, location: str) -> str:
    try:
        target = urljoin(url, location.strip())
        port_of(target)
    except (KeyError, ValueError):
        raise RefusedError(location, "which is not the address of a web server") from None
    return target


def _ascii(host: str) -> str:
    return host if host.isascii() else host.encode("idna").decode()


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _host_header(parts: httpcore.URL) -> str:
    host = parts.host.decode()
    host = f"[{host}]" if ":" in host else host
    return host if parts.port is None else f"{host}:{parts.port}"


def _authorization(url: str) -> dict[str, str]:
    user, at, _ = urlsplit(url).netloc.rpartition("@")
    if not at:
        return {}
    return {"Authorization": f"Basic {base64.b64encode(unquote(user).encode()).decode()}"}


async def _body(response: httpcore.Response) -> AsyncIterator[bytes]:
    async for data in response.aiter_stream():
        yield data


async def _drain(answer: Answer) -> None:
    """Read a short body, so that its connection serves again."""
    length = answer.headers.get("content-length", "")
    if length.isdigit() and int(length) <= _DRAINED_BYTES:
        async for _ in answer.body:
            pass


def _cause(error: Exception) -> str:
    if isinstance(error, httpcore.TimeoutException):
        return "it answers too slowly or not at all"
    text = re.sub(r":? (bytearray\()?b['\"].*", "", str(error).partition("\n")[0])  # quotes headers
    return without_secrets(text) or type(error).__name__


def _proxy_of(parts: httpcore.URL) -> str | None:
    host = parts.host.decode()
    scheme = parts.scheme.decode()
    proxies = urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if proxy and not urllib.request.proxy_bypass(f"{host}:{parts.origin.port}"):
        return proxy
    return None


def _as_proxy(text: str) -> httpcore.Proxy:
    parts = urlsplit(text if "://" in text else f"http://{text}")
    port = parts.port or {"https": 443}.get(parts.scheme, 80)
    user = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    place = httpcore.URL(scheme=parts.scheme, host=parts.hostname or "", port=port, target="/")
    return httpcore.Proxy(place, auth=user)


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Return the trusted certificates: the system's and those of the environment."""
    context = httpcore.default_ssl_context()
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := os.environ.get(name):
            context.load_verify_locations(path)
            break
    return context
