SELECT name, digest FROM cim.feature_type
