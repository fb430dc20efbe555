#!/bin/sh
# Each variable KAFKA_SOME_NAME is the setting `some.name`; the folder is formatted once.
set -eu
settings=/tmp/server.properties
echo log.dirs=/var/lib/kafka/data/log >"$settings"
env | sed -n 's/^KAFKA_//p' | while IFS='=' read -r name value; do
    printf '%s=%s\n' "$(printf '%s' "$name" | tr 'A-Z_' 'a-z.')" "$value"
done >>"$settings"
/opt/kafka/bin/kafka-storage.sh format --ignore-formatted --cluster-id "${CLUSTER_ID:-AAAAAAAAAAAAAAAAAAAAAA}" \
    --config "$settings" >/dev/null
exec /opt/kafka/bin/kafka-server-start.sh "$settings"
