#!/bin/sh
# A command of `pashe` on the stack that Compose runs, as root on its machine (docs/deploy.md):
#   sh deploy/compose/pashe.sh backup FILE
# PASHE is the program (`make set-up` makes it), COMPOSE_PROJECT_NAME the project.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
project=${COMPOSE_PROJECT_NAME:-pashe}

place() {
    docker volume inspect --format '{{.Mountpoint}}' "${project}_$1"
}

container=$(docker ps --quiet --filter "label=com.docker.compose.project=$project" \
    --filter label=com.docker.compose.service=postgres)
[ -n "$container" ] || {
    echo "pashe: PostgreSQL is not up: docker compose -f deploy/compose.yaml up -d postgres" >&2
    exit 1
}
host=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$container")
word=$(sed -n 's/^POSTGRES_PASSWORD=//p' "$root/secrets/postgres.env")
erasures=$(place erasures)/erasures.jsonl
state=$(place state)
export PASHE_HOME="$root/secrets" PASHE_POSTGRES_URL="postgresql://postgres:$word@$host:5432/pashe"
export ERASURES_FILE="$erasures" AUDIT_STATE_DIR="$state"
exec "${PASHE:-$root/.venv/bin/pashe}" "$@"
