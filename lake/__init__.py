"""What every stage shares.

The kernel - ``vocabulary``, ``schemas``, ``errors`` - holds names and no behaviour; any stage may import it.
``tables`` (the Delta Lake tables) and ``site_database`` (SQLite) do input and output; only the stages that own
data movement may import those.
"""
