"""Results as lines of text for people."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepsalt.model.card import ModelCard
    from deepsalt.store import Prunable, Publication, Version
    from deepsalt.validate import Finding
    from flows.changes import Repaired
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
    """Return one line on a mosaic, and one on where it was carried to."""
    lines = [
        f"mosaic       version {mosaic.version}: {mosaic.products} scenes, {mosaic.tiles} tiles, "
        f"{mosaic.composed} composed"
    ]
    if mosaic.push_failed:
        lines.append(
            f"not pushed   {mosaic.push_failed}; the mosaic is published in the store, "
            f"`deepsalt mosaic push STORE {mosaic.pushed_to}` tries again"
        )
    elif mosaic.pushed_to:
        sent = f"{mosaic.sent_bytes / 1e6:.1f} MB sent" if mosaic.sent_bytes else "nothing to send"
        removed = f", {mosaic.removed_there} old versions removed" if mosaic.removed_there else ""
        lines.append(f"pushed       to {mosaic.pushed_to}: {sent}{removed}")
    return lines


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


def publication_facts(
    publication: "Publication", version: "Version | None", *, current: bool
) -> dict[str, object]:
    """Return a publication and its version (None when it is not kept) as plain JSON values."""
    periods = version and {period.id: list(names) for period, names in version.periods}
    return {
        "id": publication.version,
        "created": version and version.created.isoformat(),
        "published": publication.published.isoformat(),
        "why": publication.why,
        "current": current,
        "kept": version is not None,
        "added": list(publication.added),
        "removed": list(publication.removed),
        "periods": periods,
    }


def publication_lines(
    publication: "Publication", version: "Version | None", *, current: bool
) -> list[str]:
    """Return what `history` prints on a publication; few changes are named."""
    added, removed = publication.added, publication.removed
    scenes = f"{len(version.products)} scenes" if version else "not kept"
    line = (
        f"{'*' if current else ' '} {publication.version}  "
        f"{publication.published:%Y-%m-%d %H:%M:%S} UTC  {scenes:<12}  "
        f"+{len(added)} -{len(removed)}  {publication.why}"
    ).rstrip()
    named = [*(f"+ {name}" for name in added), *(f"- {name}" for name in removed)]
    if len(named) > _NAMED:
        named = [*named[:_NAMED], f"and {len(named) - _NAMED} more; all with --json"]
    return [line, *(f"    {name}" for name in named)]


_NAMED = 6
"""Products named per publication."""


def prune_lines(prunable: "Prunable", *, done: bool) -> list[str]:
    """Return what `prune` removed, or would remove."""
    removed = "removed" if done else "to remove"
    lines = [f"{removed:<11}  version {version}" for version in prunable.versions]
    lines += [f"{removed:<11}  {name}, left by an unfinished build" for name in prunable.leftovers]
    lines.append(f"{'kept':<11}  {len(prunable.kept)} versions: {', '.join(prunable.kept)}")
    lines.append(f"{'freed' if done else 'would free':<11}  {size(prunable.freed_bytes)}")
    if not done and len(lines) > 2:
        lines.append("nothing was removed; add --yes to remove it")
    return lines


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


def repair_lines(done: "Repaired") -> list[str]:
    """Return what `mosaic repair` prints."""
    lines = [
        f"{'repaired':<11}  version {version}: {', '.join(tiles)}"
        for version, tiles in done.repaired.items()
    ]
    for version, reasons in done.failed.items():
        lines += [f"{'damaged':<11}  version {version}: {t}: {why}" for t, why in reasons.items()]
    return lines or [f"{'sound':<11}  {done.tiles} tiles are as they were written"]
