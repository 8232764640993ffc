"""Durable Python workflows whose only truth is a log of Avro events on Kafka."""
