"""Which verbs and options need more than a light installation, and what tells the user."""

from typing import Any

from typer.core import TyperGroup

from deepsalt.extras import require

VERBS = {
    "ingest": "run",
    "demo": "run",
    "plan": "run",
    "run": "run",
    "scene": "run",
    "extract": "run",
    "predict-table": "run",
    "train": "train",
    "validate": "train",
    "benchmark": "train",
    "serve": "prefect",
    "status": "prefect",
}
"""The extra of each verb that needs one."""

OPTIONS = {
    "--workers": "run",
    "--scheduler": "run",
    "--prefect": "prefect",
}
"""The extra of each option that needs one with any verb."""

OF_VERBS = {
    ("demo", "--field"): "train",
    ("run", "--cluster"): "kubernetes",
    ("run", "--cluster-profile"): "kubernetes",
    ("status", "--cluster"): "kubernetes",
}
"""The extra that a verb needs with an option, instead of its own."""

_FREE = {"--help", "--show-config"}
"""Options that only show something."""


class Verbs(TyperGroup):
    """Verbs that refuse to start without their extra, before their options are parsed."""

    # typer's stubs name a copy of click's Context that it does not export.
    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the verb, and refuse it if its extra is not installed."""
        name, command, rest = super().resolve_command(ctx, args)
        if (
            not ctx.resilient_parsing
            and not _FREE.intersection(rest)
            and not isinstance(command, Verbs)
        ):
            verb = f"{name}" if ctx.parent is None else f"{ctx.info_name} {name}"
            options = [arg.partition("=")[0] for arg in rest]
            for option in options:
                if option in OPTIONS:
                    require(OPTIONS[option], f"deepsalt {verb} {option}")
            instead = [option for option in options if (verb, option) in OF_VERBS]
            for option in instead:
                require(OF_VERBS[verb, option], f"deepsalt {verb} {option}")
            if verb in VERBS and not instead:
                require(VERBS[verb], f"deepsalt {verb}")
        return name, command, rest


def extras_line() -> str:
    """Return what the command's help says about extras."""
    by_extra: dict[str, list[str]] = {}
    of_verbs = {" ".join(words): extra for words, extra in OF_VERBS.items()}
    for name, extra in (VERBS | OPTIONS | of_verbs).items():
        by_extra.setdefault(extra, []).append(f"`{name}`")
    return "Some verbs need an extra: " + "; ".join(
        f"`pip install 'deepsalt[{extra}]'` for {', '.join(names)}"
        for extra, names in by_extra.items()
    )
