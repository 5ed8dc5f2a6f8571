COPY cim.leaf (idx, revision_id, prev, entry, hash) FROM STDIN (FORMAT binary)
