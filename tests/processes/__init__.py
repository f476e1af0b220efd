"""Whole lives of processes: scripts that a fresh interpreter runs, and what runs many of them."""
