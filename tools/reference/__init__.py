"""The reference pages of docs/reference, written from the code itself. `scripts/reference` runs it; a test compares."""
