"""The city over HTTP: OGC APIs for features and processes, and the change log as static files."""
