#!/bin/sh
# Start Kafka's official image with our settings and users; its folder is formatted once.
set -eu
/opt/kafka/bin/kafka-storage.sh format --ignore-formatted --cluster-id "$(cat /pashe/cluster.id)" \
    --config /pashe/server.properties @/pashe/users >/dev/null
exec /opt/kafka/bin/kafka-server-start.sh /pashe/server.properties
