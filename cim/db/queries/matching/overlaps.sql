SELECT record, code, of_record, of_object, overlap, aligned
FROM cim.overlaps(CAST(:staged AS regclass), CAST(:target AS regclass), :touch, :same);
