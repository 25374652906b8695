"""Faults of the server that holds a store, through a proxy that breaks requests to it."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from xml.etree import ElementTree

from tests.faults.proxy import Answer, Forward, Request, Rule, refusal, serve
from tests.faults.stages import in_a_month
from tests.faults.world import BAD_INPUT, FAILED, Trial, forked

_HEAD = "refs/branch.main/ref.json"
_SHARE = 0.1  # of requests that go wrong, where all may pass
_ILL = (refusal(500, "InternalError"), refusal(503, "SlowDown"), refusal(503, "ServiceUnavailable"))
_AWAY = "check the endpoint"


def outage(trial: Trial) -> str:
    """Let all answers be errors for a moment; the run survives it."""
    first, rng, until = _any_request(trial), Random(trial.rng.random()), [0.0]

    async def rule(request: Request, forward: Forward) -> Answer | None:
        if request.number == first:
            until[0] = time.monotonic() + 0.3
        return rng.choice(_ILL) if time.monotonic() < until[0] else await forward()

    return _disturbed(trial, rule, 0)


def storm(trial: Trial) -> str:
    """Let a tenth of the answers be errors."""
    rng = Random(trial.rng.random())

    async def rule(request: Request, forward: Forward) -> Answer | None:
        return rng.choice(_ILL) if rng.random() < _SHARE else await forward()

    return _disturbed(trial, rule, 0, FAILED, says=_AWAY)


def endless_storm(trial: Trial) -> str:
    """Let all answers be errors from some moment on."""
    first = _any_request(trial)

    async def rule(request: Request, forward: Forward) -> Answer | None:
        return _ILL[1] if request.number >= first else await forward()

    return _disturbed(trial, rule, FAILED, says=_AWAY)


def slow(trial: Trial) -> str:
    """Let each answer take its time."""

    async def rule(request: Request, forward: Forward) -> Answer | None:
        await asyncio.sleep(0.1)
        return await forward()

    return _disturbed(trial, rule, 0, hits=False)


def resets(trial: Trial) -> str:
    """Reset connections, before the server sees the request or after it has answered."""
    return _disturbed(trial, _resetting(trial), 0, FAILED, says=_AWAY)


def resets_while_pruning(trial: Trial) -> str:
    """Reset connections of a prune."""
    trial.run("--limit", "1")
    trial.run()
    with _proxied(trial, _resetting(trial)) as (endpoint, _):
        wrong = trial.prune(before=in_a_month, endpoint=endpoint).fault(0, FAILED, says=_AWAY)
    return wrong or trial.prune(before=in_a_month).fault(0)


def _resetting(trial: Trial) -> Rule:
    rng = Random(trial.rng.random())

    async def rule(request: Request, forward: Forward) -> Answer | None:
        if rng.random() >= _SHARE:
            return await forward()
        if rng.random() < 0.5:
            await forward()
        return None

    return rule


def lost_answers(trial: Trial) -> str:
    """Lose the answers to a fifth of all writes that were done."""
    rng = Random(trial.rng.random())

    async def rule(request: Request, forward: Forward) -> Answer | None:
        answer = await forward()
        return None if request.writes and rng.random() < 2 * _SHARE else answer

    return _disturbed(trial, rule, 0, FAILED, says=_AWAY)


def lost_commit(trial: Trial) -> str:
    """Lose the first answers to the writes by which a version becomes the published one."""
    left = [trial.rng.choice([1, 2, 3])]

    async def rule(request: Request, forward: Forward) -> Answer | None:
        answer = await forward()
        if request.writes and request.key.endswith(_HEAD) and left[0]:
            left[0] -= 1
            return None
        return answer

    return _disturbed(trial, rule, 0, FAILED)


def away_at_commit(trial: Trial) -> str:
    """Let the server vanish when a version is about to be published, and come back or not."""
    until = [float("inf")]
    away_s = trial.rng.choice([0.3, 1.0, 3.0, 600.0])
    nth = [trial.rng.choice([2, 3])]  # the first makes the arrays

    async def rule(request: Request, forward: Forward) -> Answer | None:
        if request.writes and "/mosaic/" in request.key:
            if "/refs/" in request.key or "/transactions/" in request.key:
                nth[0] -= 1
            if nth[0] == 0:
                until[0] = time.monotonic() + away_s
        is_away = nth[0] <= 0 and time.monotonic() < until[0]
        return None if is_away else await forward()

    return _disturbed(trial, rule, 0, FAILED, says=_AWAY)


def unconditional(trial: Trial) -> str:
    """Refuse writes that are only to be done if nothing is there, at once or from then on.

    Whether Icechunk is told why, or that the server answers with errors, depends on the request.
    """
    first = trial.rng.choice([0, _any_request(trial) // 2])

    async def rule(request: Request, forward: Forward) -> Answer | None:
        refused = request.is_conditional and request.number >= first
        return refusal(501, "NotImplemented") if refused else await forward()

    return _disturbed(trial, rule, FAILED, BAD_INPUT, says="server")


def expired(trial: Trial) -> str:
    """Answer from some request on, or from a commit on, as if the credentials had expired."""
    first = _any_request(trial) if trial.rng.random() < 0.7 else float("inf")
    commits, is_over = [0], [False]

    async def rule(request: Request, forward: Forward) -> Answer | None:
        commits[0] += request.writes and request.key.endswith(_HEAD)
        is_over[0] |= request.number >= first or (first == float("inf") and commits[0] == 3)
        return refusal(400, "ExpiredToken") if is_over[0] else await forward()

    return _disturbed(trial, rule, FAILED, BAD_INPUT, says="expired")


def lagging(trial: Trial) -> str:
    """Leave out of listings what was written in the last seconds."""
    written: dict[str, float] = {}

    async def rule(request: Request, forward: Forward) -> Answer | None:
        answer = await forward()
        if request.method == "PUT" and answer.status == 200:
            written[request.key] = time.monotonic()
        if not request.is_listing or answer.status != 200:
            return answer
        young = {key for key, when in written.items() if time.monotonic() - when < 2.0}
        return _without(answer, young)

    return _disturbed(trial, rule, 0, FAILED)


def _without(answer: Answer, young: set[str]) -> Answer:
    """Return a listing without some keys; the answer itself where it has none of them."""
    root = ElementTree.fromstring(answer.body)
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    listed = root.findall(f"{space}Contents")
    hidden = [each for each in listed if each.findtext(f"{space}Key") in young]
    if not hidden:
        return answer
    for each in hidden:
        root.remove(each)
    count = root.find(f"{space}KeyCount")
    if count is not None:
        count.text = str(len(listed) - len(hidden))
    if space:
        ElementTree.register_namespace("", space[1:-1])
    return replace(answer, body=ElementTree.tostring(root))


def _any_request(trial: Trial) -> int:
    return trial.rng.randrange(int(0.9 * trial.world.requests))


def _disturbed(trial: Trial, rule: Rule, *allowed: int, says: str = "", hits: bool = True) -> str:
    """Run through a proxy; what is wrong with how the run ended."""
    with _proxied(trial, rule) as (endpoint, requests):
        ended = trial.run(endpoint=endpoint)
        is_hit = "FAULT" in requests.read_text()
    if hits and not is_hit:
        return "no request was disturbed"
    return ended.fault(*allowed, says=says)


@contextmanager
def _proxied(trial: Trial, rule: Rule) -> Iterator[tuple[str, Path]]:
    """Let a rule stand before the server; its address, and the file with all requests."""
    told = trial.work / "proxy.url"
    child = forked(lambda: serve(rule, trial.world.port, told), trial.work / "proxy.log")
    try:
        until = time.monotonic() + 30.0
        while not told.exists():
            assert time.monotonic() < until, "the proxy does not start"
            time.sleep(0.005)
        yield told.read_text(), told.with_suffix(".requests")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def requests_of(trial: Trial) -> tuple[str, int]:
    """Run undisturbed through a proxy; return what went wrong, and how many requests it makes."""

    async def rule(request: Request, forward: Forward) -> Answer | None:
        return await forward()

    with _proxied(trial, rule) as (endpoint, requests):
        ended = trial.run(endpoint=endpoint)
        return ended.fault(0), len(requests.read_text().splitlines())
