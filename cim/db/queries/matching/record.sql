SELECT cim.record_decisions(CAST(:staged AS regclass), :type, :dataset, :layer);
