#!/usr/bin/env bash
# Makes a cluster ready for the tests and prints the path of its kubeconfig as the last line.
# KUBECONFIG names a cluster of yours, whose nodes have the images already. Without it, or where it
# is that of the tool DEEPSALT_K8S (`cluster up`, `cluster image`), that tool starts a cluster and
# builds the images whose sources have changed. docs/kubernetes/testing.md has more.
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

# What an image is made of, by name and content.
digest() { # SOURCE...
  git ls-files -z --cached --others --exclude-standard -- "$@" | xargs -0 sha256sum | sha256sum
}
# Builds an image if there is none, or none of these sources.
build() { # NAME:TAG "SOURCE..." COMMAND...
  local image=$1 stamp now
  stamp=build/kubernetes/${image//[\/:]/_}
  # shellcheck disable=SC2086 (several sources)
  now=$(digest $2)
  shift 2
  if [ "$now" != "$(cat "$stamp" 2>/dev/null)" ] || ! "$tool" image --list | grep -F "$image " >/dev/null; then
    say "building $image"
    "$@" >&2
    mkdir -p "${stamp%/*}"
    echo "$now" >"$stamp"
  fi
}

if [ -x "$tool" ] && [ "$KUBECONFIG" = "$("$tool" kubeconfig 2>/dev/null)" ]; then
  export DEEPSALT_K8S=$tool
  for role in worker service reader; do
    build "localhost/deepsalt:$role" "deepsalt catalog flows infra/Containerfile infra/images pyproject.toml constraints.txt" \
      bash infra/images/build.sh "$role" "localhost/deepsalt:$role"
  done
  here=tests/kubernetes
  build localhost/postgres:test "$here/postgres.Containerfile $here/postgres.sh" \
    "$tool" image --containerfile "$here/postgres.Containerfile" localhost/postgres:test
  mkdir -p build/kubernetes/s3
  cp -u .venv/bin/weed build/kubernetes/s3/
  build localhost/seaweedfs:test "$here/s3.Containerfile constraints.txt" \
    "$tool" image --containerfile "$here/s3.Containerfile" localhost/seaweedfs:test --context build/kubernetes/s3
fi
echo "$KUBECONFIG"
