"""Tests of what command line, pages and API share."""
