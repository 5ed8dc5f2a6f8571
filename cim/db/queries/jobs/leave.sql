SELECT pg_advisory_unlock(hashtext('cim.job'), :number)
