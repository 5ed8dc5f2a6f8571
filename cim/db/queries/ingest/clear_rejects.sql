DELETE FROM cim.reject WHERE dataset = :dataset;
