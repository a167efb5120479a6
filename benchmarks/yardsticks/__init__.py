"""Other ways to the same results, each a program of its own that says how it is called; mostly of ``.venv-compare``."""
