"""Reads one's own topic. Needs: pip install confluent-kafka; what `pashe kafka grant` printed."""

import json
import os
import sqlite3

from confluent_kafka import Consumer

store = sqlite3.connect("kafka.sqlite")
store.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY)")
consumer = Consumer(
    {
        "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP"],
        "security.protocol": os.environ.get("KAFKA_SECURITY", "SASL_SSL"),
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": os.environ["KAFKA_USERNAME"],
        "sasl.password": os.environ["KAFKA_PASSWORD"],
        "group.id": os.environ["KAFKA_USERNAME"],  # the group that this user may have
        "group.instance.id": "1",  # one for each process: it goes on at once after a crash
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
)
consumer.subscribe([os.environ["KAFKA_TOPIC"]])
while True:
    record = consumer.poll(1)
    if record is None:
        continue
    if record.error():
        print("Kafka says:", record.error().name(), flush=True)
        continue
    event = json.loads(record.value())
    with store:  # the id and the work are kept together, then the offset is committed
        if store.execute("INSERT OR IGNORE INTO seen VALUES (?)", [event["id"]]).rowcount:
            data = event["data"]
            print(data["referral_id"], data["cursor"], data["state"], flush=True)
    consumer.commit(record, asynchronous=False)
