"""Partners' systems: reports by Kafka, sealed to intake's key, and what became of them."""
