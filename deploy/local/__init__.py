"""The embedded stack: Kafka, PostgreSQL, the services and one origin on one machine."""
