"""Synthetic meters from physics; everything made here is marked synthetic."""
