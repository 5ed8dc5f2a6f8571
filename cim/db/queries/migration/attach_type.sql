SELECT cim.attach_type(:type)
