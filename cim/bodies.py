"""Bodies of buildings in three dimensions: files of the store, named in `body_file`, that anyone may have.

The store holds other files too, whole models as departments delivered them; those are not for everyone.
"""

from __future__ import annotations

from cim.errors import NotFound
from cim.files import Store, open_stored

# One feature of CityJSONSeq (OGC 20-072r5): a line that says what the coordinates mean, and one with the feature.
MEDIA_TYPE = "application/city+json-seq"
# How our files of that kind begin: members are sorted by name.
HEAD = b'{"CityObjects":{},'


def read_body(store: Store, sha256: str) -> bytes:
    """Return the file of a body.

    Raises
    ------
    NotFound : the store has no file of that digest, or it is no body.
    CimError : the store cannot be read.
    """
    with open_stored(store, sha256) as file:
        content = file.read(len(HEAD))
        if content != HEAD:
            raise NotFound(f"no body of a building is called {sha256}")
        return content + file.read()
