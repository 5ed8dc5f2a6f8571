SELECT cim.publish(CAST(:public AS text[]), :embedded)
