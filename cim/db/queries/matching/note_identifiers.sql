SELECT cim.note_identifiers(CAST(:staged AS regclass), :type);
