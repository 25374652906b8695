# shellcheck shell=bash
# Sourced: which tool builds and pushes images, as $builder. DEEPSALT_K8S names the tool of a test
# cluster, which builds with buildah and imports what it has built; there is no registry then.
if [ -n "${DEEPSALT_K8S:-}" ]; then
  builder=$DEEPSALT_K8S
else
  for builder in buildah podman docker ''; do
    "${builder:-true}" info >/dev/null 2>&1 && break
  done
  [ -n "$builder" ] || { echo "none of buildah, podman and docker works here: install one" >&2; exit 1; }
fi
