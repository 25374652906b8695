"""Lets a verb take options that belong together as one value: typer itself knows no such groups."""

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any


def with_groups(verb: Callable[..., None]) -> Callable[..., None]:
    """Return a verb for typer, which shows the options of a group in place of the group.

    Parameters
    ----------
    verb
        Its parameters are options, or groups: dataclasses of options and groups.
    """

    @functools.wraps(verb)
    def flat(**told: Any) -> None:
        _call(verb, told)

    options = [each.replace(kind=each.KEYWORD_ONLY) for each in _options(verb)]
    flat.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]  # typer reads it
    return flat


def _is_group(annotation: object) -> bool:
    return is_dataclass(annotation)


def _options(taker: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    for each in inspect.signature(taker).parameters.values():
        if _is_group(each.annotation):
            yield from _options(each.annotation)
        else:
            yield each


def _call(taker: Callable[..., Any], told: dict[str, Any]) -> Any:
    """Call a verb, or make a group, with its options out of all options."""
    return taker(
        **{
            name: _call(each.annotation, told) if _is_group(each.annotation) else told[name]
            for name, each in inspect.signature(taker).parameters.items()
        }
    )
