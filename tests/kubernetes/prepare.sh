#!/usr/bin/env bash
# Makes a cluster ready for the tests and prints the path of its kubeconfig as the last line.
# KUBECONFIG names a cluster of yours, whose nodes have the images already. Without it, or where it
# is that of the tool DEEPSALT_K8S (`cluster up`, `cluster image`), that tool starts a cluster and
# builds the images, if sources have changed. docs/kubernetes/testing.md has more.
set -euo pipefail
cd "$(dirname "$0")/../.."
tool=${DEEPSALT_K8S:-../shared/tools/k8s/cluster}
say() { echo "prepare: $*" >&2; }

if [ -z "${KUBECONFIG:-}" ]; then
  if [ ! -x "$tool" ]; then
    say "no cluster: set KUBECONFIG to one whose nodes have the images (docs/kubernetes/testing.md)"
    exit 2
  fi
  say "starting a cluster (minutes the first time, then 15 s)"
  KUBECONFIG=$("$tool" up | tail -n 1)
fi

# What an image is made of; it is built again only where that has changed.
digest() { git ls-files -s -- "$@"; git diff HEAD -- "$@"; git ls-files -o --exclude-standard -- "$@"; }
build() { # NAME:TAG CONTAINERFILE CONTEXT TARGET SOURCE...
  local image=$1 file=$2 context=$3 target=$4 stamp now
  shift 4
  stamp=build/kubernetes/${image//[\/:]/_}
  now=$(digest "$file" "$@" | sha256sum)
  if [ "$now" = "$(cat "$stamp" 2>/dev/null)" ] && "$tool" image --list | grep -qF "$image "; then
    return
  fi
  say "building $image"
  if [ -n "$target" ]; then
    DEEPSALT_K8S=$tool infra/images/build.sh "$target" "$image" >&2
  else
    "$tool" image --containerfile "$file" "$image" --context "$context" --local-wheels >&2
  fi
  mkdir -p "${stamp%/*}" && echo "$now" >"$stamp"
}

if [ -x "$tool" ] && [ "$KUBECONFIG" = "$("$tool" kubeconfig)" ]; then
  sources=(deepsalt catalog flows infra pyproject.toml constraints.txt README.md LICENSE)
  for target in worker service reader; do
    build "localhost/deepsalt:$target" infra/Containerfile . "$target" "${sources[@]}"
  done
  mkdir -p build/kubernetes/s3
  cp -u .venv/bin/weed build/kubernetes/s3/
  build localhost/postgres:test tests/kubernetes/postgres.Containerfile tests/kubernetes "" \
    tests/kubernetes/postgres.sh
  build localhost/seaweedfs:test tests/kubernetes/s3.Containerfile build/kubernetes/s3 "" constraints.txt
fi
echo "$KUBECONFIG"
