SELECT cim.attach_hierarchy(:type)
