"""Whole fleets on a real Kafka: modules, builds, restarts, kills and freezes."""
