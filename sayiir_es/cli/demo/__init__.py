"""`sayiir-es demo`: a worker is killed in the middle of an order."""
