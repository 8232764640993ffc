"""Tests of attempts that executors elsewhere run."""
