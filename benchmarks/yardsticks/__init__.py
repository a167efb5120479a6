"""Other ways from MQTT to files, each a program ``NAME.py PORT CLIENT_ID FOLDER`` of ``.venv-compare``."""
