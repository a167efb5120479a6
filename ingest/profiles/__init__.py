"""Vendor profiles: a data file a vendor, and what reads, checks, chooses and applies them.

A profile translates a vendor's codes and status words, and makes sense of its numbers (``vendor_profile``); which one a
reading is read by is settled in ``dialects``.
"""
