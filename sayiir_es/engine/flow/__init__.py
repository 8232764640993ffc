"""Flow control: which attempts may run at a time, beside the slots there are."""
