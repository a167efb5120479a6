"""Vendor profiles: data files that translate a vendor's status words and codes. See ``ingest/vendor_profile.py``."""
