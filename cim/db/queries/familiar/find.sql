SELECT id FROM cim.familiar_layer WHERE type = :type AND lineage = :lineage AND basis = :basis;
