"""How many bytes a record takes in a batch.

The owner measures its batches with it, and a fork the copy that it will write.
"""

from __future__ import annotations

RECORD_OVERHEAD_BYTES = 96
"""What a record takes beside key, value and headers: bounds, varints, framing."""
