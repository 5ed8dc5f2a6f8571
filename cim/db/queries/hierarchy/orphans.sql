SELECT type, code, property, parent FROM cim.orphans()
