SELECT property, parent, number FROM cim.count_orphans(:type) WHERE number > 0
