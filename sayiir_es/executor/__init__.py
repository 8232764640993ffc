"""Runs attempts that owners elsewhere hand out, and owns nothing."""
