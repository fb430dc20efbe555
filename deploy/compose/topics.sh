#!/bin/sh
# Written by `python -m deploy.local.topics_shell` from deploy/topics.toml; not by hand.
set -eu
bin=${KAFKA_BIN:-/opt/kafka/bin}
at="--bootstrap-server ${KAFKA_AT:-kafka:9092} --command-config ${ADMIN:-/pashe/admin.properties}"
copies=${COPIES:-1}
topic() { "$bin/kafka-topics.sh" $at --create --if-not-exists --replication-factor "$copies" "$@"; }
grant() { "$bin/kafka-acls.sh" $at --add "$@" >/dev/null; }
topic --topic submissions --partitions 12 \
    --config cleanup.policy=delete \
    --config retention.ms=2592000000
topic --topic cases --partitions 12 \
    --config cleanup.policy=delete \
    --config retention.ms=8640000000
topic --topic referrals --partitions 12 \
    --config cleanup.policy=delete \
    --config retention.ms=8640000000
topic --topic notices --partitions 12 \
    --config cleanup.policy=delete \
    --config retention.ms=8640000000
topic --topic directory --partitions 12 \
    --config cleanup.policy=compact \
    --config retention.ms=-1
topic --topic accesses --partitions 12 \
    --config cleanup.policy=delete \
    --config retention.ms=8640000000
grant --allow-principal User:audit --resource-pattern-type literal \
    --operation describe --operation read --operation write \
    --topic accesses
grant --allow-principal User:audit --resource-pattern-type literal \
    --operation describe --operation read \
    --group audit
grant --allow-principal User:audit --resource-pattern-type literal \
    --operation describe --operation read \
    --topic cases --topic directory --topic notices --topic referrals --topic submissions
grant --allow-principal User:audit --resource-pattern-type prefixed \
    --operation describe --operation read \
    --group audit.
grant --allow-principal User:intake --resource-pattern-type literal \
    --operation describe --operation read --operation write \
    --topic cases --topic submissions
grant --allow-principal User:intake --resource-pattern-type literal \
    --operation describe --operation read \
    --group intake
grant --allow-principal User:intake --resource-pattern-type literal \
    --operation describe --operation read \
    --topic notices --topic referrals
grant --allow-principal User:intake --resource-pattern-type prefixed \
    --operation describe --operation read \
    --group intake.
grant --allow-principal User:intake --resource-pattern-type prefixed \
    --operation describe --operation read \
    --topic submissions.partner.
grant --allow-principal User:notification --resource-pattern-type literal \
    --operation describe --operation read \
    --group notification
grant --allow-principal User:notification --resource-pattern-type literal \
    --operation describe --operation read \
    --topic cases --topic referrals
grant --allow-principal User:notification --resource-pattern-type literal \
    --operation describe --operation write \
    --topic notices
grant --allow-principal User:notification --resource-pattern-type prefixed \
    --operation describe --operation read \
    --group notification.
grant --allow-principal User:notification --resource-pattern-type prefixed \
    --operation describe --operation write \
    --topic provider.
grant --allow-principal User:referral --resource-pattern-type literal \
    --operation describe --operation read \
    --group referral
grant --allow-principal User:referral --resource-pattern-type literal \
    --operation describe --operation read \
    --topic cases --topic submissions
grant --allow-principal User:referral --resource-pattern-type literal \
    --operation describe --operation write \
    --topic directory --topic referrals
grant --allow-principal User:referral --resource-pattern-type prefixed \
    --operation describe --operation read \
    --group referral.
