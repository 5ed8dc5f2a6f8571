SELECT cim.replay_identifiers()
