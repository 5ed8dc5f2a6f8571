"""Everything the platform raises on purpose.

CimError                      exit 1
├── InvalidData               exit 3   HTTP 422/400
│   ├── InvalidCode
│   ├── InvalidFilter
│   ├── InvalidProof
│   ├── UnknownFormat
│   └── CrsError
│       └── OutsideArea
├── NotFound                  exit 4   HTTP 404
├── DatabaseError             exit 5   HTTP 503
│   └── Unreachable
├── Conflict                  exit 6   HTTP 409
│   ├── StaleRevision                  HTTP 412
│   └── Busy                           HTTP 429
├── AuditFailed               exit 7
└── Forbidden                           HTTP 403

Exit 2 is the command line library's (bad usage). Any other exception is a defect and keeps its traceback.
A message names the object, what was expected, what came, and the next step.
"""

from __future__ import annotations


class CimError(Exception):
    """Base of every error raised on purpose."""

    exit_code = 1


class InvalidData(CimError):
    """Input that cannot be taken: a file, a record, a parameter."""

    exit_code = 3


class InvalidCode(InvalidData):
    """A code that its scheme refuses."""


class InvalidFilter(InvalidData):
    """A filter, bounding box or sort key that cannot be understood."""


class InvalidProof(InvalidData):
    """A proof, signature or checkpoint that does not verify."""


class UnknownFormat(InvalidData):
    """A file whose format is not one we read."""


class CrsError(InvalidData):
    """A coordinate reference system that is missing, unknown, or not reachable without guessing."""


class OutsideArea(CrsError):
    """Coordinates lie where their CRS is not made for: either is wrong."""


class NotFound(CimError):
    """No such object, type, scheme, scenario, tree size."""

    exit_code = 4


class DatabaseError(CimError):
    """The database cannot be found, started, reached, or is not one of ours."""

    exit_code = 5


class Unreachable(DatabaseError):
    """The database is away. What is said of it may name hosts and users, and is for who runs it."""


class Conflict(CimError):
    """The state does not allow it: stale revision, other writer, edited migration."""

    exit_code = 6


class StaleRevision(Conflict):
    """The object is not in the revision that the writer has seen."""


class Busy(Conflict):
    """Who asks has as much under way as one may have."""


class Forbidden(CimError):
    """Who asks may not do that to this object."""


class AuditFailed(CimError):
    """The log, the database and the signer record do not agree."""

    exit_code = 7
