SET CONSTRAINTS ALL IMMEDIATE -- now instead of at the end, where an error could not be told from others
