"""What people build workflows with: flows, tasks, branches, loops."""
