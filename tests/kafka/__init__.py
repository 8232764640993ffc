"""The whole engine on a real Kafka, judged by a reader that shares no code with it."""
