#!/bin/sh
# Starts PostgreSQL on PGDATA. An empty one is made first: superuser `postgres` with POSTGRES_PASSWORD, and what the
# files /docker-entrypoint-initdb.d/*.sql say.
set -eu

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    : "${POSTGRES_PASSWORD:?set it to the password of the superuser postgres}"
    # Made beside it and renamed: a start that is killed half-way leaves nothing that looks finished.
    fresh=$PGDATA.new
    rm -rf "$fresh"
    passwords=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" >"$passwords"
    initdb --pgdata="$fresh" --username=postgres --pwfile="$passwords" --auth-host=scram-sha-256 --auth-local=trust \
        --encoding=UTF8 --locale=C.UTF-8
    rm "$passwords"
    echo "host all all all scram-sha-256" >>"$fresh/pg_hba.conf"
    # On a socket only, so that nobody connects before everything is there.
    pg_ctl --pgdata="$fresh" --wait --options="-c listen_addresses='' -c unix_socket_directories=/tmp" start
    for file in /docker-entrypoint-initdb.d/*.sql; do
        [ ! -e "$file" ] || psql -v ON_ERROR_STOP=1 --no-psqlrc -q -h /tmp -U postgres -f "$file"
    done
    pg_ctl --pgdata="$fresh" --wait --mode=fast stop
    mv "$fresh" "$PGDATA"
fi
unset POSTGRES_PASSWORD
exec "$@" -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp
