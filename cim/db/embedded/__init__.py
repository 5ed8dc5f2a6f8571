"""How the embedded server of `cim.db.cluster` is found, placed, made and watched, and by whom it runs."""
