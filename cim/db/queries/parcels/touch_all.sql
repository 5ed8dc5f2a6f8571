SELECT cim.touch_all_parcels()
