"""What the API answers, one module per kind of resource, each ending in its `router`."""
