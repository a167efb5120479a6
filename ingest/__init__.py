"""Broker and files to decoded, validated readings: source, spool, decoder, lake.

One decoder a payload shape (``decoders/``), one data file a meter vendor (``profiles/``).
"""
