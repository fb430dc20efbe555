#!/bin/sh
# Run once by PostgreSQL's image in a new database, after deploy/database.sql: the roles' passwords.
set -eu
for role in $PASHE_ROLES; do
    eval "word=\$$role"
    psql -v ON_ERROR_STOP=1 -v role="$role" -v word="$word" -U postgres -d "$POSTGRES_DB" -q <<'SQL'
ALTER ROLE :"role" PASSWORD :'word';
SQL
done
