SELECT cim.comment_functions(:digest)
