SELECT cim.attach_type(name) FROM cim.feature_type
