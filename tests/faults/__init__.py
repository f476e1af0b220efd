"""The rows of docs/faults.md: what happens to a call, and to everything else, when something breaks."""
