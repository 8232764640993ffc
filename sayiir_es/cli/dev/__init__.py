"""`sayiir-es dev`: a worker with its pages and API, in one process on one file."""
