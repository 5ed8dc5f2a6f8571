"""A black-box checker of OGC API Features Parts 1 to 5 and Processes Part 1: it knows the standards and an address.

    python -m tests.api.conformance https://example.org/city

Every assertion names the class it belongs to and the requirement it is taken from; it counts where the API claims the
class. A class that has no assertion here is told, too. Nothing is written unless a feature to write is given.
"""
