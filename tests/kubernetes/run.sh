#!/usr/bin/env bash
# Runs the tests on a cluster; `tests/kubernetes/run.sh -k worker` some of them. A cluster that this
# starts is taken down afterwards, any other is left as it was.
set -euo pipefail
cd "$(dirname "$0")/../.."
tool=${DEEPSALT_K8S:-../shared/tools/k8s/cluster}
if [ -z "${KUBECONFIG:-}" ] && [ -x "$tool" ]; then
  code=0
  "$tool" status >/dev/null 2>&1 || code=$?
  if [ "$code" = 3 ]; then trap '"$tool" down >&2' EXIT; fi # 3: it was down
fi
KUBECONFIG=$(bash tests/kubernetes/prepare.sh | tail -n 1)
export KUBECONFIG
# Each process has a namespace of its own. A run waits for pods most of its time.
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
  .venv/bin/python -m pytest -m k8s -n 3 --dist loadgroup tests/kubernetes --durations=5 "$@"
