SELECT cim.erase(:type, :code, CAST(:fields AS text[]))
