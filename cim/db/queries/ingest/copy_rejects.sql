COPY cim.reject (dataset, layer, source_id, reason, record) FROM STDIN
