"""Random programs on a real Kafka, whose workers and brokers are killed at random."""
