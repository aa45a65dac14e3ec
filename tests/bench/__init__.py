"""Measurements: what a server costs, always as a ratio to the tutorial's own, taken in one run."""
