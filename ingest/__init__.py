"""From files to rows: formats, mapping, cleaning, codes, merge and report."""
