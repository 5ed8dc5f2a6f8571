SELECT pg_advisory_xact_lock(hashtext('cim.mint'), hashtext(:prefix))
