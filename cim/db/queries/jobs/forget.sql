DELETE FROM cim.job WHERE finished < now() - CAST(:days AS integer) * interval '1 day' RETURNING id
