"""The pages of the manual, run."""
