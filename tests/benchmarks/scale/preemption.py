"""Whether the simulation foretells real runs whose pods are killed.

Three steps, `python -m tests.benchmarks.scale.preemption STEP`:

1. `predict` from runs without kills (`calm.json`: two or more of different numbers of scenes on as
   many workers) how long a run with kills will take, and write it down before the run.
2. `kill` the worker pods of a run, each at the same rate, until the run is over.
3. `compare` the prediction with `deepsalt run --json` of the runs that were killed (a JSON list of
   them, or of their seconds); the exit code is 1 if the means differ by more than a fifth.

All seconds are `effort.scenes_s` of a run: from the order for the cluster to the last scene.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flows.scale.simulate import Crew, simulate
from flows.scale.workload import Workload

TOLERANCE = 0.2
RUNS = 5
"""Runs whose mean is compared."""
_SEEDS = 400
_PIXELS = 1_000_000
_TICK_S = 0.25
Row = dict[str, Any]


def fitted(calm: Sequence[Mapping[str, float]]) -> tuple[float, float]:
    """Return the seconds before the first scene, and those of a scene on one of the workers.

    Each run says its `scenes`, `workers` and `seconds`; a worker maps one scene after another.

    Raises
    ------
    SystemExit
        The runs do not differ in their scenes per worker.
    """
    rounds = np.array([each["scenes"] / each["workers"] for each in calm])
    seconds = np.array([each["seconds"] for each in calm])
    if len(set(rounds)) < 2:
        raise SystemExit("runs without kills must differ in their scenes per worker; add one")
    scene_s, start_s = np.polyfit(rounds, seconds, 1)
    return max(0.0, float(start_s)), float(scene_s)


def predict(
    calm: Sequence[Mapping[str, float]],
    *,
    scenes: int,
    workers: int,
    kills_per_hour: float,
    notice_s: float = 0.0,
    start_s: float = 5.0,
) -> Row:
    """Return how long runs with kills will take, and what they will waste.

    Parameters
    ----------
    calm
        Runs without kills.
    scenes, workers
        Of the runs to come.
    kills_per_hour
        How often a worker's pod is killed, each.
    notice_s
        Grace that a pod is given; 0: it is killed at once.
    start_s
        Seconds from the end of a worker until another one takes scenes.
    """
    first_s, scene_s = fitted(calm)
    work = Workload.alike(scenes, pixels=_PIXELS)
    crew = Crew(
        workers,
        _PIXELS / scene_s,
        start_s=start_s,
        preemptions_per_hour=kills_per_hour,
        notice_s=notice_s,
    )
    found = [simulate(work, [crew], seed=seed) for seed in range(_SEEDS)]
    seconds = [each.seconds - start_s + first_s for each in found]
    means = [statistics.fmean(seconds[at : at + RUNS]) for at in range(0, _SEEDS, RUNS)]
    return {
        "scenes": scenes,
        "workers": workers,
        "kills_per_hour": kills_per_hour,
        "notice_s": notice_s,
        "start_s": start_s,
        "first_s": round(first_s, 2),
        "scene_s": round(scene_s, 3),
        "calm_seconds": round(first_s + math.ceil(scenes / workers) * scene_s, 1),
        "seconds": round(statistics.fmean(seconds), 1),
        "eight_of_ten": _eight_of_ten(seconds),
        f"mean_of_{RUNS}_eight_of_ten": _eight_of_ten(means),
        "kills": round(statistics.fmean(each.preemptions for each in found), 1),
        "begun_again": round(statistics.fmean(each.begun_again for each in found), 1),
        "wasted_s": round(statistics.fmean(each.wasted_s for each in found), 1),
        "given_up": round(statistics.fmean(len(each.quarantined) for each in found), 2),
    }


def _eight_of_ten(values: Sequence[float]) -> list[float]:
    tenths = statistics.quantiles(values, n=10, method="inclusive")
    return [round(tenths[0], 1), round(tenths[-1], 1)]


def compare(prediction: Mapping[str, Any], measured: Sequence[float | Mapping[str, Any]]) -> Row:
    """Return the ratio of measured to predicted seconds, and of what was wasted.

    Parameters
    ----------
    prediction
        What `predict` returned.
    measured
        Seconds of runs, or their results as `deepsalt run --json` prints them.
    """
    results = [each for each in measured if isinstance(each, Mapping)]
    seconds = [
        each["effort"]["scenes_s"] if isinstance(each, Mapping) else each for each in measured
    ]
    mean = statistics.fmean(seconds)
    row: Row = {
        "predicted_s": prediction["seconds"],
        "measured_s": [round(each, 1) for each in seconds],
        "mean_s": round(mean, 1),
        "ratio": round(mean / prediction["seconds"], 3),
        "is_within": abs(mean / prediction["seconds"] - 1) <= TOLERANCE,
    }
    for name in ("begun_again", "wasted_s"):
        if results:
            row[name] = round(statistics.fmean(each[name] for each in results), 1)
            row[f"predicted_{name}"] = prediction[name]
    return row


def kill(
    namespace: str,
    run: str,
    *,
    per_hour: float,
    notice_s: int,
    seed: int,
    is_over: Callable[[], bool] = lambda: False,
) -> int:
    """Kill worker pods that are ready, each at this rate, until the run's scheduler is gone.

    Parameters
    ----------
    namespace, run
        Of the pods; `run` is their label, and all runs of the namespace if empty.
    per_hour
        How often each is killed.
    notice_s
        Grace that it is given; 0: it is killed at once.
    seed
        Of the moments.
    is_over
        Whether to stop before.

    Returns
    -------
    int
        Number of pods killed.
    """
    from kubernetes import client, config
    from kubernetes.client.exceptions import ApiException

    config.load_kube_config()
    api = client.CoreV1Api()
    random = np.random.default_rng(seed)
    labels = "app.kubernetes.io/name=deepsalt" + (f",deepsalt.io/run={run}" if run else "")
    killed: set[str] = set()
    seen_scheduler = False
    at_s = time.monotonic()
    while True:
        pods = api.list_namespaced_pod(namespace, label_selector=labels).items
        kinds = {each.metadata.labels.get("app.kubernetes.io/component") for each in pods}
        seen_scheduler |= "scheduler" in kinds
        if is_over() or (seen_scheduler and "scheduler" not in kinds):
            return len(killed)
        now_s = time.monotonic()
        chance = -math.expm1(-per_hour / 3600 * (now_s - at_s))
        at_s = now_s
        for pod in pods:
            name = pod.metadata.name
            is_worker = pod.metadata.labels.get("app.kubernetes.io/component") == "worker"
            if is_worker and name not in killed and _is_ready(pod) and random.random() < chance:
                killed.add(name)
                print(f"{time.time():.1f} kills {name}", flush=True)
                try:
                    api.delete_namespaced_pod(name, namespace, grace_period_seconds=notice_s)
                except ApiException as error:
                    if error.status != 404:
                        raise
        time.sleep(_TICK_S)


def _is_ready(pod: Any) -> bool:
    conditions = pod.status.conditions or ()
    return pod.metadata.deletion_timestamp is None and any(
        each.type == "Ready" and each.status == "True" for each in conditions
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = parser.add_subparsers(dest="step", required=True)
    told = steps.add_parser("predict", help="before the runs")
    told.add_argument("calm", type=Path, help="JSON list of scenes, workers, seconds")
    told.add_argument("--scenes", type=int, required=True)
    told.add_argument("--workers", type=int, required=True)
    told.add_argument("--kills-per-hour", type=float, required=True, help="of each worker")
    told.add_argument("--notice", type=float, default=0.0, help="seconds; 0: none")
    told.add_argument("--start", type=float, default=5.0, help="seconds until another works")
    told.add_argument("--out", type=Path, required=True)
    does = steps.add_parser("kill", help="during a run")
    does.add_argument("--namespace", required=True)
    does.add_argument("--run", default="", help="the run's id; default: any run there")
    does.add_argument("--kills-per-hour", type=float, required=True, help="of each worker")
    does.add_argument("--notice", type=int, default=0, help="grace in seconds; 0: none")
    does.add_argument("--seed", type=int, default=0)
    after = steps.add_parser("compare", help="after the runs")
    after.add_argument("prediction", type=Path)
    after.add_argument("measured", type=Path, help="JSON list of results or of seconds")
    args = parser.parse_args()
    if args.step == "kill":
        print(
            kill(
                args.namespace,
                args.run,
                per_hour=args.kills_per_hour,
                notice_s=args.notice,
                seed=args.seed,
            )
        )
        return
    if args.step == "predict":
        row = predict(
            json.loads(args.calm.read_text()),
            scenes=args.scenes,
            workers=args.workers,
            kills_per_hour=args.kills_per_hour,
            notice_s=args.notice,
            start_s=args.start,
        )
        args.out.write_text(json.dumps(row, indent=1) + "\n")
    else:
        row = compare(
            json.loads(args.prediction.read_text()), json.loads(args.measured.read_text())
        )
    print(json.dumps(row, indent=1))
    sys.exit(0 if row.get("is_within", True) else 1)


if __name__ == "__main__":
    main()
