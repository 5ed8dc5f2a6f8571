SELECT pg_try_advisory_lock(hashtext('cim.job'), :number)
