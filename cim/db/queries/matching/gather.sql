SELECT cim.gather_unmatched(CAST(:staged AS regclass), CAST(:target AS regclass));
