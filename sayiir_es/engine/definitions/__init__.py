"""Definitions of workflows, and which workers can run them."""
