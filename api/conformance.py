"""The conformance classes that hold, and nothing else: clients decide by them what to send.

Not claimed though near, of OGC API Processes: `ogc-process-description`, whose schemas are those of OpenAPI 3.0 and
have no units, where ours are JSON Schema; and `html`, since results of jobs stay in the form that was asked for.
"""

from __future__ import annotations

_SPEC = "http://www.opengis.net/spec"

_CLASSES = [
    f"{_SPEC}/{name}"
    for name in (
        "ogcapi-common-1/1.0/conf/core",
        "ogcapi-features-1/1.0/conf/core",
        "ogcapi-features-1/1.0/conf/geojson",
        "ogcapi-features-1/1.0/conf/html",
        "ogcapi-features-1/1.0/conf/oas30",
        "ogcapi-features-2/1.0/conf/crs",
        "ogcapi-features-3/1.0/conf/queryables",
        "ogcapi-features-3/1.0/conf/queryables-query-parameters",
        "ogcapi-features-3/1.0/conf/filter",
        "ogcapi-features-3/1.0/conf/features-filter",
        "ogcapi-features-3/1.0/conf/functions",
        # Part 5 became OGC 23-058r2, which names its classes by Common Part 3; QGIS looks for the former name.
        "ogcapi-features-5/1.0/conf/schemas",
        *(
            f"ogcapi-common-3/1.0/conf/{name}"
            for name in (
                "schemas",
                "advanced-property-roles",
                "references",
                "returnables-and-receivables",
                "queryables",
                "sortables",
                "profile-parameter",
                "profile-references",
                "profile-codelists",
            )
        ),
        *(
            f"ogcapi-tiles-1/1.0/conf/{name}"
            for name in ("core", "tileset", "tilesets-list", "geodata-tilesets", "mvt", "oas30")
        ),
        *(f"ogcapi-processes-1/1.0/conf/{name}" for name in ("core", "json", "oas30", "job-list", "dismiss")),
        "cql2/1.0/conf/cql2-text",
        "cql2/1.0/conf/cql2-json",
        "cql2/1.0/conf/basic-cql2",
        "cql2/1.0/conf/advanced-comparison-operators",
        "cql2/1.0/conf/case-insensitive-comparison",
        "cql2/1.0/conf/accent-insensitive-comparison",
        "cql2/1.0/conf/basic-spatial-functions",
        "cql2/1.0/conf/basic-spatial-functions-plus",
        "cql2/1.0/conf/spatial-functions",
        "cql2/1.0/conf/temporal-functions",
        "cql2/1.0/conf/array-functions",
        "cql2/1.0/conf/property-property",
        "cql2/1.0/conf/functions",
        "cql2/1.0/conf/arithmetic",
    )
]
_WRITING = [f"{_SPEC}/ogcapi-features-4/1.0/conf/{name}" for name in ("create-replace-delete", "update", "features")]


def classes(*, writing: bool) -> list[str]:
    """Return the classes; those of writing only where the API takes writes."""
    return _CLASSES + _WRITING if writing else _CLASSES
