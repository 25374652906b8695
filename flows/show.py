"""Results as lines of text for people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepsalt.model.card import ModelCard
    from deepsalt.store import Version
    from deepsalt.validate import Finding
    from flows.pipeline import MosaicResult, RunResult, SceneResult
    from flows.plan import Plan


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
    lines += [f"{'cannot':<10}{name}: {reason}" for name, reason in plan.refused.items()]
    return lines


def scene_line(scene: "SceneResult") -> str:
    """Return one line on a scene."""
    if scene.status == "quarantined":
        return f"quarantined  {scene.scene}: {scene.reason}"
    return (
        f"{scene.status:<11}  {scene.scene}: {scene.estimated:,} of {scene.pixels:,} pixels "
        f"estimated ({share(scene.estimated, scene.pixels)})"
    )


def mosaic_line(mosaic: "MosaicResult") -> str:
    """Return one line on a mosaic."""
    return (
        f"mosaic       version {mosaic.version}: {mosaic.products} scenes, {mosaic.tiles} tiles, "
        f"{mosaic.composed} composed"
    )


def run_lines(result: "RunResult") -> list[str]:
    """Return what a run says at its end."""
    lines = [scene_line(scene) for scene in result.scenes]
    if result.mosaic:
        lines.append(mosaic_line(result.mosaic))
    return lines


def version_facts(version: "Version") -> dict[str, object]:
    """Return a published version as plain JSON values."""
    return {
        "id": version.id,
        "created": version.created.isoformat(),
        "current": version.is_current,
        "periods": {period.id: list(names) for period, names in version.periods},
    }


def version_line(version: "Version") -> str:
    """Return one line on a published version."""
    periods = ", ".join(f"{period.id} ({len(names)} scenes)" for period, names in version.periods)
    mark = "*" if version.is_current else " "
    return f"{mark} {version.id}  {version.created:%Y-%m-%d %H:%M:%S} UTC  {periods}"


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
