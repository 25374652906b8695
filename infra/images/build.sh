#!/usr/bin/env bash
# Builds an image from this checkout, and writes what it holds beside it, as CycloneDX:
#   infra/images/build.sh ROLE NAME:TAG [--build-arg TORCH=... ...]
# ROLE is reader, worker or service. With buildah, podman or docker, whichever is there first; or, if
# CLUSTER_TOOL names the test cluster's tool, with that one, which imports the image as well.
# The list goes to build/images/NAME_TAG.cdx.json.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: build.sh reader|worker|service NAME:TAG [--build-arg KEY=VALUE]..." >&2; exit 2; }
role=$1 name=$2
shift 2
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD)
[ -z "$(git status --porcelain)" ] || revision=$revision-dirty
created=$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd)
source=${DEEPSALT_SOURCE:-}
args=(--target "$role" --build-arg VERSION="$version" --build-arg REVISION="$revision"
  --build-arg CREATED="$created" --build-arg SOURCE="$source" "$@")
list=build/images/$(tr '/:' '__' <<<"$name").cdx.json
mkdir -p build/images

if [ -n "${CLUSTER_TOOL:-}" ]; then
  exec "$CLUSTER_TOOL" image --containerfile infra/Containerfile --context . --local-wheels "${args[@]}" "$name"
fi
for tool in buildah podman docker ''; do
  "${tool:-false}" info >/dev/null 2>&1 && break
done
args+=(--file infra/Containerfile --tag "$name")
case $tool in
  buildah)
    buildah build --layers "${args[@]}" .
    container=$(buildah from --pull-never "$name")
    trap 'buildah rm "$container" >/dev/null' EXIT
    buildah run "$container" -- cat /usr/share/deepsalt/sbom.json >"$list"
    ;;
  podman | docker)
    "$tool" build "${args[@]}" .
    "$tool" run --rm --entrypoint cat "$name" /usr/share/deepsalt/sbom.json >"$list"
    ;;
  *) echo "build.sh: none of buildah, podman and docker works here: install one" >&2; exit 1 ;;
esac
echo "$name, and what it holds: $list"
