UPDATE cim.job SET status = 'running', begun = begun + 1, started = coalesce(started, now())
WHERE number = :number AND status IN ('accepted', 'running')
RETURNING id
