#!/bin/sh
# Run the program of Kafka that this file is called by, as Kafka's own scripts do.
set -eu
case $(basename "$0") in
kafka-storage.sh) class=kafka.tools.StorageTool ;;
kafka-server-start.sh) class=kafka.Kafka ;;
kafka-topics.sh) class=org.apache.kafka.tools.TopicCommand ;;
kafka-acls.sh) class=org.apache.kafka.tools.AclCommand ;;
kafka-broker-api-versions.sh) class=org.apache.kafka.tools.BrokerApiVersionsCommand ;;
esac
exec /opt/java/bin/java -Xms64m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -XX:-UsePerfData -Dlog4j2.configurationFile=/opt/kafka/log4j2.properties \
    -cp "/opt/kafka/libs/*" "$class" "$@"
