"""Findings to incidents, incidents to the outbox, the outbox to a receiver."""
