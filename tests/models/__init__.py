"""State machines that use the package at random, and what must hold after each of their steps."""
