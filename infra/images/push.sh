#!/usr/bin/env bash
# Pushes an image that build.sh has made to the registry of its name: infra/images/push.sh NAME:TAG
set -euo pipefail
# shellcheck source=infra/images/builder.sh
. "$(dirname "${BASH_SOURCE[0]}")/builder.sh"
case ${builder##*/} in
  buildah | podman | docker) "$builder" push "${1:?push.sh NAME:TAG}" ;;
  *) echo "the test cluster has ${1:?push.sh NAME:TAG} already" ;;
esac
