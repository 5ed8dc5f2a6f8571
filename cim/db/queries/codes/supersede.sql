SELECT cim.supersede(:type, CAST(:links AS jsonb))
