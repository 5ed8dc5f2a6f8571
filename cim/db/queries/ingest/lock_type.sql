SELECT pg_advisory_xact_lock(hashtext('cim.merge'), hashtext(:type));
