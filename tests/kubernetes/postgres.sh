# Makes a database of POSTGRES_USER in PGDATA, unless there is one, and serves it.
set -eu
if [ ! -e "$PGDATA/PG_VERSION" ]; then
  echo "$POSTGRES_PASSWORD" > /tmp/password
  initdb --pgdata "$PGDATA" --username "$POSTGRES_USER" --pwfile /tmp/password --auth scram-sha-256 --encoding UTF8
  rm /tmp/password
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
fi
(
  until pg_isready --quiet --host 127.0.0.1; do sleep 0.2; done
  export PGPASSWORD="$POSTGRES_PASSWORD"
  createdb --host 127.0.0.1 --username "$POSTGRES_USER" "$POSTGRES_USER" || true
) &
exec postgres -D "$PGDATA" -c listen_addresses='*'
