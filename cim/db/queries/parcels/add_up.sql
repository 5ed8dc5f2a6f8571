SELECT cim.add_up_parcels(:after, CAST(:most AS bigint))
