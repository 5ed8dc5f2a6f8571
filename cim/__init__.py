"""City Information Model: coded city objects, a verifiable change log, renewal scenarios."""
