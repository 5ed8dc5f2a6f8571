COPY replayed FROM STDIN (FORMAT binary)
