SELECT cim.replay_type(:type, :size)
