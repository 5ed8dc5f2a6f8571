SELECT cim.settle_unmatched(CAST(:staged AS regclass));
