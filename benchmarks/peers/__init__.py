"""Other engines on the same workloads, side by side with ours."""
