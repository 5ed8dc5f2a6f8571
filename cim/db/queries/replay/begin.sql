SELECT cim.begin_replay()
