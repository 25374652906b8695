#!/usr/bin/env bash
# Builds an image from this checkout, and writes beside it what it holds, as CycloneDX:
#   infra/images/build.sh ROLE NAME:TAG [MORE ARGUMENTS OF THE BUILDER]
# ROLE is reader, worker or service. The list goes to build/images/NAME_TAG.cdx.json.
# docs/images.md has more.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: build.sh reader|worker|service NAME:TAG [--build-arg KEY=VALUE]..." >&2; exit 2; }
role=$1 name=$2
shift 2
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=infra/images/builder.sh
. infra/images/builder.sh

revision=$(git rev-parse HEAD)
[ -z "$(git status --porcelain)" ] || revision=$revision-dirty
arguments=(--target "$role"
  --build-arg VERSION="$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)"
  --build-arg REVISION="$revision"
  --build-arg CREATED="$(TZ=UTC0 git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd)"
  --build-arg SOURCE="${DEEPSALT_SOURCE:-}" "$@")
list=build/images/$(tr '/:' '__' <<<"$name").cdx.json
mkdir -p build/images
holds() { cat >"$list" && echo "$name holds what $list says"; }
case ${builder##*/} in
  buildah)
    buildah build --layers --file infra/Containerfile --tag "$name" "${arguments[@]}" .
    container=$(buildah from --pull-never "$name")
    trap 'buildah rm "$container" >/dev/null' EXIT
    buildah run "$container" -- cat /usr/share/deepsalt/sbom.json | holds
    ;;
  podman | docker)
    "$builder" build --file infra/Containerfile --tag "$name" "${arguments[@]}" .
    "$builder" run --rm --entrypoint cat "$name" /usr/share/deepsalt/sbom.json | holds
    ;;
  *) "$builder" image --containerfile infra/Containerfile --context . --local-wheels "${arguments[@]}" "$name" ;;
esac
