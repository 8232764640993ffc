"""The whole engine on virtual time, with faults, and `kill -9` at any await."""
