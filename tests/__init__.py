"""The test suite; a package so that every test finds `tests.broker` by one name."""
