"""Results as lines of text for people."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepsalt.export import Exported
    from deepsalt.model.card import ModelCard
    from deepsalt.mosaic import Pruning
    from deepsalt.mosaic.repair import Repaired
    from deepsalt.validate import Finding
    from deepsalt.versions import Version
    from flows.pipeline import RunResult
    from flows.plan import Plan
    from flows.stage1 import SceneResult
    from flows.stage2 import MosaicResult


def plain(text: str, most: int = 200) -> str:
    """Return a foreign text without what a terminal obeys, and not longer than that."""
    safe = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:most])
    return safe if len(text) <= most else f"{safe}..."


def size(count_bytes: float) -> str:
    """Return a size with a unit that keeps it readable."""
    for unit in ("B", "kB", "MB", "GB"):
        if count_bytes < 1000:
            return f"{count_bytes:.0f} {unit}" if unit == "B" else f"{count_bytes:.1f} {unit}"
        count_bytes /= 1000
    return f"{count_bytes:.1f} TB"


def duration(seconds: float) -> str:
    """Return a time span the way people say it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def share(part: int, whole: int) -> str:
    """Return a share in percent."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def plan_lines(plan: "Plan") -> list[str]:
    """Return the table that `deepsalt plan` prints."""
    rows = [
        ("scenes", f"{plan.scenes}, of which {plan.present} are complete in the store"),
        ("pixels", f"{plan.scene_pixels:,} to map"),
        ("to read", size(plan.read_bytes)),
        ("to write", f"about {size(plan.write_bytes)}"),
        (
            "mosaic",
            f"{plan.mosaic_rows:,} x {plan.mosaic_columns:,} cells of {plan.resolution_m:g} m, "
            f"{plan.crs}; {plan.tiles} tiles",
        ),
        ("period", plan.period),
        ("workers", f"{plan.workers} with {plan.threads} threads each"),
        ("memory", f"about {size(plan.worker_memory_bytes)} per worker"),
        ("time", f"about {duration(plan.seconds)} (a rough estimate from the pixels' number)"),
    ]
    lines = [f"{name:<10}{text}" for name, text in rows]
    if plan.cell_shape:
        lines.append(f"{'cells':<10}{plan.cell_shape}")
    lines += [
        f"{'cannot':<10}{plain(name)}: {plain(reason, 2000)}"
        for name, reason in plan.refused.items()
    ]
    return lines


def scene_line(scene: "SceneResult") -> str:
    """Return one line on a scene."""
    name = plain(scene.scene)
    if scene.reason is not None:
        return f"{scene.status:<11}  {name}: {plain(scene.reason, 2000)}"
    return (
        f"{scene.status:<11}  {name}: {scene.estimated:,} of {scene.pixels:,} pixels "
        f"estimated ({share(scene.estimated, scene.pixels)})"
    )


def mosaic_lines(mosaic: "MosaicResult") -> list[str]:
    """Return one line on a mosaic, and one on where it was exported to."""
    changed = f"{_signed(mosaic.added, mosaic.removed)} scenes, " if mosaic.composed else ""
    lines = [
        f"mosaic       version {mosaic.version}: {changed}{mosaic.tiles} tiles, "
        f"{mosaic.composed} composed"
    ]
    if mosaic.held:
        lines.append(
            f"held         readers do not see it; `deepsalt mosaic publish STORE {mosaic.version}` "
            "lets them, `deepsalt mosaic drop` gives it up"
        )
    if mosaic.export_failed:
        lines.append(
            f"not exported {mosaic.export_failed}; the mosaic is published in the store, and the "
            "next run or `deepsalt mosaic export` tries again"
        )
    elif mosaic.exported_to:
        sent = f"{size(mosaic.exported_bytes)} written" if mosaic.exported_bytes else "no change"
        lines.append(f"exported     to {mosaic.exported_to}: {sent}")
    elif mosaic.not_exported:
        lines.append(
            f"no export    {mosaic.not_exported}: `deepsalt mosaic export STORE TARGET`, or "
            "--export URI on each run; `deepsalt.open_mosaic` needs none"
        )
    return lines


def _signed(added: int, removed: int) -> str:
    return f"+{added} -{removed}"


def run_lines(result: "RunResult") -> list[str]:
    """Return what a run says at its end."""
    lines = [scene_line(scene) for scene in result.scenes]
    if result.mosaic:
        lines += mosaic_lines(result.mosaic)
    if nothing := no_estimate(result.scenes):
        lines.append(nothing)
    return lines


def no_estimate(scenes: "Sequence[SceneResult]") -> str | None:
    """Return a sentence on scenes that gave no estimate at all, with the shares of the reasons.

    None where a pixel has an estimate, or where no scene was mapped.
    """
    mapped = [scene for scene in scenes if scene.product]
    pixels = sum(scene.pixels for scene in mapped)
    if not pixels or any(scene.estimated for scene in mapped):
        return None
    counts = Counter[str]()
    for scene in mapped:
        counts.update(scene.by_flag)
    reasons = ", ".join(
        f"{name.replace('_', ' ')} {share(count, pixels)}"
        for name, count in counts.most_common()
        if count
    )
    return (
        f"no estimate  none of {pixels:,} pixels could be estimated ({reasons}; a pixel may have "
        "several reasons); choose scenes of bare, dry soil without clouds"
    )


def version_facts(version: "Version", state: str) -> dict[str, object]:
    """Return a version as plain JSON values."""
    return {
        "id": version.short,
        "state": state,
        "created": version.created.isoformat(),
        "why": version.why,
        "parent": version.parent,
        "added": list(version.added),
        "removed": list(version.removed),
        "added_count": version.added_count,
        "removed_count": version.removed_count,
        "tiles_composed": version.tiles,
        "pixels": version.totals.pixels,
        "estimated": version.totals.estimated,
        "by_flag": dict(version.totals.by_flag),
        "simulated": version.simulated > 0,
        "software": version.software,
        **version.facts,
    }


_STATES = {"published": "*", "earlier": " ", "held": "?", "left": "-"}


def version_lines(version: "Version", state: str) -> list[str]:
    """Return what `history` prints on a version; few changes are named."""
    line = (
        f"{_STATES[state]} {version.short}  {version.created:%Y-%m-%d %H:%M:%S} UTC  "
        f"{version.tiles:>5} tiles  {_signed(version.added_count, version.removed_count):<9}  "
        f"{version.why}" + (f" ({state})" if state in ("held", "left") else "")
    )
    named = [*(f"+ {name}" for name in version.added), *(f"- {name}" for name in version.removed)]
    more = version.added_count + version.removed_count - min(len(named), _NAMED)
    return [
        line.rstrip(),
        *(f"    {name}" for name in named[:_NAMED]),
        *([f"    and {more} more; --json names up to 1,000"] if more else []),
    ]


_NAMED = 6
"""Products named per version."""


def prune_lines(found: "Pruning") -> list[str]:
    """Return what `prune` removed, or would remove."""
    done = found.freed_bytes is not None
    removed = "removed" if done else "to remove"
    lines = [
        f"{removed:<11}  version {version.short} of {version.created:%Y-%m-%d %H:%M} UTC"
        for version in found.versions.gone
    ]
    lines += [f"{removed:<11}  product {name}, which nothing names" for name in found.products]
    lines += [f"{removed:<11}  build {name}, which died" for name in found.builds]
    kept = ", ".join(version.short for version in found.versions.kept)
    count = len(found.versions.kept)
    lines.append(f"{'kept':<11}  {count} version{'s' if count != 1 else ''}: {kept}")
    if found.freed_bytes is not None:
        lines.append(f"{'freed':<11}  {size(found.freed_bytes)}; the rest once it is 7 days old")
    elif len(lines) > 1:
        lines.append("nothing was removed; add --yes to remove it")
    return lines


def prune_facts(found: "Pruning") -> dict[str, object]:
    """Return what `prune` removed, or would remove, as plain JSON values."""
    return {
        "versions": [version.short for version in found.versions.gone],
        "kept": [version.short for version in found.versions.kept],
        "products": list(found.products),
        "builds": list(found.builds),
        "freed_bytes": found.freed_bytes,
        "removed": found.freed_bytes is not None,
    }


def export_facts(done: "Exported") -> dict[str, object]:
    """Return what an export did as plain JSON values."""
    return {**asdict(done), "target": str(done.target)}


def export_lines(done: "Exported") -> list[str]:
    """Return what an export did, and how to open it."""
    what = "all of it" if done.is_full else f"{done.shards} shards changed"
    why = ", as data lie beyond what was covered" if done.grown else ""
    older = f", {done.removed} older versions removed" if done.removed else ""
    return [
        f"{'exported':<11}  version {done.version} to {done.target}: {what}{why}, "
        f"{size(done.bytes)} written{older}",
        f"{'next':<11}  xarray.open_zarr({done.group!r})",
    ]


def check_line(findings: Sequence["Finding"]) -> str:
    """Return the closing line of `deepsalt check`."""
    errors, warnings = (
        sum(finding.severity == severity for finding in findings)
        for severity in ("error", "warning")
    )
    if not errors and not warnings:
        return "clean: no errors, no warnings"
    return f"{errors} errors, {warnings} warnings" + ("" if errors else "; nothing is broken")


def card_lines(card: "ModelCard") -> list[str]:
    """Return the scores of a trained model as a table, by split and with baselines."""
    lines = [
        f"model {card.name}: {card.ec_method}",
        f"{'method':<18}{'spectra':<42}{'left out':<16}{'n':>6}  R2 of log1p (sd)  interval holds",
    ]
    for score in card.scores:
        metrics = score.metrics
        # Where all labels are alike there is no R2.
        known = [metrics.get(name) for name in ("r2_log1p", "r2_log1p_fold_sd")]
        r2, sd = ("-" if value is None else f"{value:.2f}" for value in known)
        spread = f"{r2} ({sd})"
        held = f"{metrics['coverage']:.0%}" if "coverage" in metrics else "-"
        what = f"{score.method:<18}{score.spectra:<42}{score.split:<16}{score.n:>6}"
        lines.append(f"{what}  {spread:<18}{held}")
    return lines


def repair_facts(done: "Repaired") -> dict[str, object]:
    """Return what `mosaic repair` did as plain JSON values."""
    versions = done.built.versions if done.built else ()
    return {
        "tiles": done.tiles,
        "again": [f"{tile.id} of {period.id}" for period, tile in done.again],
        "products": list(done.products),
        "version": versions[-1].short if versions else None,
        "findings": [asdict(finding) for finding in done.findings],
        "whole": done.is_whole,
    }


def repair_lines(done: "Repaired") -> list[str]:
    """Return what `mosaic repair` prints."""
    lines = [
        f"{finding.severity:<11}  {finding.where}: {finding.message}" for finding in done.findings
    ]
    if done.built and done.built.versions:
        version = done.built.versions[-1].short
        lines.append(f"{'repaired':<11}  version {version}: {len(done.again)} tiles composed again")
    return lines or [f"{'sound':<11}  {done.tiles} tiles are as they were written"]
