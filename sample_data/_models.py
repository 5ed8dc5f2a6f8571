def write(folder, layers): pass
