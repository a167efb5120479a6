"""What is seen of ingest from outside: its vitals, in a file for ``status``, as metrics and health over HTTP."""
