"""What `deepsalt plan` prints of a cluster."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from flows.cli.shared.text import duration, size

if TYPE_CHECKING:
    from flows.scale.plan import ClusterPlan, Expected


def cluster_lines(plan: "ClusterPlan") -> list[str]:
    """Return the tables of a cluster's workers, bottlenecks, times and prices."""
    money = plan.money
    prices = [
        ("workers", money.workers),
        ("scheduler and driver", money.scheduler),
        ("fetched", money.fetched),
        ("requests", money.requests),
        ("a month of storage", money.stored_per_month),
        ("all", money.total),
    ]
    lines = [
        *_row("fetched", [f"{size(plan.fetched_bytes)} from archives"]),
        *_row(
            "requests",
            [f"{plan.reads:,} reads and {plan.writes:,} writes to the object store, if it is one"],
        ),
        *_row("workers", _pods(plan)),
        *_row("waits for", _bottlenecks(plan)),
        *_row("advice", [plan.advice]),
        *_row("time", _times(plan)),
    ]
    if money.total:
        told = (f"{name} {price:,.2f}" for name, price in prices if price)
        lines += _row("money", [f"{plan.currency} {', '.join(told)}"])
    for note in plan.notes:
        lines += _row("note", [note])
    return lines


def _row(name: str, texts: Iterable[str]) -> list[str]:
    return [f"{'' if number else name:<10}{text}".rstrip() for number, text in enumerate(texts)]


def _pods(plan: "ClusterPlan") -> list[str]:
    head = ("group", "of use", "most", "cpu", "memory", "scratch", "gpu")
    rows = [
        (
            each.group,
            f"{each.workers:,}",
            f"{each.most:,}",
            f"{each.cpu:g}",
            size(each.memory_bytes),
            size(each.scratch_bytes),
            f"{each.gpus}",
        )
        for each in plan.pods
    ]
    return _table([head, *rows])


def _bottlenecks(plan: "ClusterPlan") -> list[str]:
    rows = [
        ("workers", plan.workers_s, "the workers of use, if they wait for nothing", True),
        *((each.name, each.seconds, each.gives, each.of_a_run) for each in plan.bounds),
    ]
    rows.sort(key=lambda row: (not row[3], -row[1]))
    return _table(
        [
            (
                name,
                duration(seconds),
                "<- first" if name == plan.first else "" if of_a_run else "(not this run)",
                gives,
            )
            for name, seconds, gives, of_a_run in rows
        ]
    )


def _times(plan: "ClusterPlan") -> list[str]:
    found = [f"about {duration(plan.calm.seconds)} if no worker is taken away"]
    if plan.expected.runs > 1:
        found.append(_expected(plan.expected))
    return found


def _expected(found: "Expected") -> str:
    text = (
        f"with preemptions {duration(found.seconds)} expected ({duration(found.earliest_s)} to "
        f"{duration(found.latest_s)} in 8 of 10 runs): {found.preemptions:,.0f} workers taken away,"
        f" {found.begun_again:,.0f} scenes begun again, "
        f"{duration(found.wasted_s)} of work done twice"
    )
    return text + (
        f"; {found.quarantined:.1f} scenes given up, since they were lost three times"
        if found.quarantined >= 0.05
        else ""
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        for row in rows
    ]
