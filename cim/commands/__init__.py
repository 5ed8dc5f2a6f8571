"""The command groups of `cim`, one file each; `register(app)` adds a group to the application."""
