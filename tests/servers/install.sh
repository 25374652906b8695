#!/usr/bin/env bash
# Installs what the tests of the service need beyond Python's packages: PostgreSQL, from Debian.
set -euo pipefail
if command -v pg_ctl >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/pg_ctl" >/dev/null; then
  exit 0
fi
become=()
if [ "$(id -u)" != 0 ]; then become=(sudo); fi
if ! command -v apt-get >/dev/null; then
  echo "PostgreSQL is not installed, and there is no apt-get: install its server, then run again" >&2
  exit 1
fi
"${become[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${become[@]}" apt-get install -qq -y --no-install-recommends postgresql
