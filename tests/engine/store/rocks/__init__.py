"""Tests of `rocks`."""
