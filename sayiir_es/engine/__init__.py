"""The thin shell around the core: owners, projectors, stores, timers, executors.

Imports point down this list, between packages and single modules:

    worker                  one process: which partitions it owns, start and stop
    partition_supervisor    one partition, from its assignment to its hand-over
    owner/                  one partition: claims, decides, appends, acts
    publishing/  commands/  attempts/  projector
    ports                   what all of these get: log, clock, executor, registry
    definitions/  attempts.executor_port
    fold  worker_settings
    store/
    backoff  clock  gc_tuning  record_size
"""
