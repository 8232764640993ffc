"""The owner of a partition: claims, decides, appends, acts."""
