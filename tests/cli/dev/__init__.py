"""Tests of `sayiir-es dev`."""
