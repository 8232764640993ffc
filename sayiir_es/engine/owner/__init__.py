"""The owner of a partition: it claims, decides, appends and acts."""
