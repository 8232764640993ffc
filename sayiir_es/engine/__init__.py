"""The thin shell around the core: owners, projectors, stores, timers, executors."""
