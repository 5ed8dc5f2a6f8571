"""The description of this API as OpenAPI 3.0.3, written from the dictionary and the declared parameters.

Clients depend on its details: QGIS reads concrete paths only, GDAL looks for `resultType` and the queryables among
the parameters of /collections/{type}/items, and conformance suites for `style: form` and `explode: false`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from api import formats, parameters
from api.links import GEOJSON, HTML, JSON, MERGE_PATCH, OPENAPI_JSON, SCHEMA_JSON
from api.openapi_schemas import OBJECT, TEXT, ref, schemas
from api.parameters import Parameter
from api.routes import jobs, log, processes, proposals, tiles
from api.through import SAID_IN
from api.tileset import MVT, SCHEME
from cim import bodies, scenarios
from cim.dictionary import Dictionary, FeatureType

_PROBLEM = "application/problem+json"
_OCTETS = "application/octet-stream"
_PLAIN = "text/plain"


def openapi_document(dictionary: Dictionary, base: str, *, writing: bool = False) -> dict[str, Any]:
    """Return the document; `base` is the address the API is reached at, `writing` whether it takes writes."""
    paths = _entry_paths()
    for feature_type in dictionary.types.values():
        paths |= _collection_paths(feature_type)
        if writing and feature_type.name not in SAID_IN:
            for path, operations in _writing(feature_type).items():
                paths[path] |= operations
    paths |= _process_paths() | _proposal_paths(writing=writing) | _job_paths() | _log_paths()
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "City Information Model",
            "description": "Coded city objects, their verifiable history, and renewal scenarios.",
            "version": version("cim"),
            "license": {"name": "Apache-2.0"},
        },
        "servers": [{"url": base}],
        "tags": [{"name": name} for name in ("Entry", "Features", "Tiles", "Processes", "Log")],
        "paths": paths,
        "components": {
            "parameters": {
                p.name: p.document for p in (*parameters.ITEMS, parameters.F_JSON, parameters.SINCE, *log.PROOF)
            },
            "schemas": schemas(),
            "responses": _errors(),
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer", "description": "A key, or a token of the issuer."},
            },
        },
        # Everybody may do what is public; scopes say the rest.
        "security": [{}, {"key": []}, {"bearer": []}],
    }


def _entry_paths() -> dict[str, Any]:
    json_only, both = [parameters.F_JSON.document], [parameters.F_JSON_OR_HTML.document]
    return {
        "/": _get("Entry", "getLandingPage", "Landing page", both, {JSON: OBJECT, HTML: TEXT}),
        "/conformance": _get(
            "Entry", "getConformance", "Conformance classes", both, {JSON: ref("confClasses"), HTML: TEXT}
        ),
        "/api": _get("Entry", "getApi", "This document", both, {OPENAPI_JSON: OBJECT, HTML: TEXT}),
        "/map": _get("Entry", "getMap", "Page of the planner, with a map", [], {HTML: TEXT}),
        "/health": _get("Entry", "getHealth", "Health", json_only, {JSON: OBJECT}),
        "/metrics": _get("Entry", "getMetrics", "Metrics in the Prometheus text format", [], {_PLAIN: TEXT}),
        "/collections": _get(
            "Features", "getCollections", "Collections", both, {JSON: ref("collections"), HTML: TEXT}
        ),
        "/functions": _get("Entry", "getFunctions", "Functions of filters", both, {JSON: OBJECT, HTML: TEXT}),
        "/codelists": _get("Entry", "getCodelists", "Codelists", both, {JSON: OBJECT, HTML: TEXT}),
        "/codelists/{name}": _get(
            "Entry", "getCodelist", "A codelist", [_path("name"), *both], {JSON: OBJECT, HTML: TEXT}
        ),
        "/tileMatrixSets": _get(
            "Tiles", "getTileMatrixSetsList", "Tile matrix sets", json_only, {JSON: OBJECT}
        ),
        "/tileMatrixSets/{tileMatrixSetId}": _get(
            "Tiles", "getTileMatrixSet", "A tile matrix set", [_path("tileMatrixSetId"), *json_only], {JSON: OBJECT}
        ),
        "/files/{sha256}": _get(
            "Features", "getFile", "Body of a building in three dimensions", [_path("sha256")],
            {kind.media_type: _BINARY for kind in bodies.KINDS},
        ),
        "/codes/{scheme}/{value}": _get(
            "Entry", "resolveCode", "What a code names",
            [_path("scheme"), _path("value"), *json_only, _shared(parameters.AS_OF)], {JSON: OBJECT},
        ),
    }  # fmt: skip


def _collection_paths(feature_type: FeatureType) -> dict[str, Any]:
    name, title = feature_type.name, feature_type.title
    root, item = f"/collections/{name}", f"/collections/{name}/items/{{code}}"
    own = [parameter.document for parameter in parameters.property_parameters(feature_type)]
    both, schema = [parameters.F_JSON_OR_HTML.document], {SCHEMA_JSON: OBJECT, HTML: TEXT}
    described = [*both, parameters.CODELIST_PROFILE.document]
    history = [_path("code"), *both, _shared(parameters.AS_OF)]
    of_items, of_item = formats.of_items(feature_type), formats.of_item()
    one = [_path("code"), *map(_shared, parameters.ITEM), parameters.f_of([*of_item, "geojson"]).document]
    many = [*map(_shared, parameters.ITEMS), parameters.f_of([*of_items, *formats.ALIASES]).document, *own]
    features = _contents(of_items, "featureCollection")
    items = _get("Features", f"{name}.getFeatures", f"{title}: features", many, features)
    feature = _get("Features", f"{name}.getFeature", f"{title}: one feature", one, _contents(of_item, "feature"))
    for read in (feature, items):
        read["get"]["responses"] |= {"304": _UNCHANGED, "409": _response("409")}
    feature["get"]["responses"]["303"] = {
        "description": "The code that the identifier given instead of it stands for",
        "headers": {"Location": {"schema": TEXT}},
    }
    return {
        root: _get("Features", f"{name}.getCollection", title, both, {JSON: ref("collection"), HTML: TEXT}),
        f"{root}/schema": _get("Features", f"{name}.getSchema", f"{title}: schema", described, schema),
        f"{root}/feature-schema": _get(
            "Features", f"{name}.getFeatureSchema", f"{title}: schema of GeoJSON", described, schema
        ),
        f"{root}/queryables": _get("Features", f"{name}.getQueryables", f"{title}: queryables", described, schema),
        f"{root}/sortables": _get("Features", f"{name}.getSortables", f"{title}: sortables", described, schema),
        f"{root}/items": items,
        f"{root}/changes": _get(
            "Features", f"{name}.getChanges", f"{title}: changes", [*map(_shared, parameters.CHANGES)], {JSON: OBJECT}
        ),
        **(_tile_paths(feature_type) if feature_type.geometry is not None else {}),
        **(_private_path(feature_type) if len(feature_type.public_properties) < len(feature_type.properties) else {}),
        item: feature,
        f"{item}/history": _get(
            "Features", f"{name}.getHistory", f"{title}: revisions", history, {JSON: OBJECT, HTML: TEXT}
        ),
    }


def _private_path(feature_type: FeatureType) -> dict[str, Any]:
    name, declared = feature_type.name, [_path("code"), parameters.F_JSON.document]
    read = _get("Features", f"{name}.getPrivate", f"{feature_type.title}: private fields", declared, {JSON: OBJECT})
    return {f"/collections/{name}/items/{{code}}/private": read}


def _tile_paths(feature_type: FeatureType) -> dict[str, Any]:
    name, title = feature_type.name, feature_type.title
    root = f"/collections/{name}/tiles"
    own = [parameter.document for parameter in parameters.property_parameters(feature_type)]
    shared = [*map(_shared, parameters.TILES), *own]
    number = [{**_path(one), "schema": {"type": "integer"}} for one in ("tileMatrix", "tileRow", "tileCol")]
    f_tileset, here = tiles.F_TILESET.document, f"{root}/{SCHEME}"
    tile = _get("Tiles", f"{name}.getTile", f"{title}: a tile", [*number, *shared], {MVT: _BINARY})
    empty = {"description": "Nothing is in the tile"}
    tile["get"]["responses"] |= {"204": empty, "304": _UNCHANGED, "409": _response("409")}
    return {
        root: _get(
            "Tiles", f"{name}.getTileSetsList", f"{title}: tilesets", [parameters.F_JSON.document], {JSON: OBJECT}
        ),
        here: _get("Tiles", f"{name}.getTileSet", f"{title}: tileset", [f_tileset, *shared], {JSON: OBJECT}),
        f"{here}/{{tileMatrix}}/{{tileRow}}/{{tileCol}}": tile,
    }


def _contents(offered: Mapping[str, formats.PageFormat | formats.BulkFormat], schema: str) -> dict[str, Any]:
    """Return the schema of each media type: GeoJSON is described, what is no JSON is bytes."""
    media = {name: one.media_type.partition(";")[0] for name, one in offered.items()}
    plain = {kind: OBJECT if kind.endswith("json") else _BINARY for kind in media.values()}
    return plain | {media[formats.DEFAULT]: ref(schema)}


def _writing(feature_type: FeatureType) -> dict[str, Any]:
    """Return the operations of Part 4 by path."""
    name, title = feature_type.name, feature_type.title
    said = [_header(header) for header in ("Content-Crs", "CIM-Actor", "CIM-Reason", "Prefer")]
    feature = {media: {"schema": ref("feature")} for media in (GEOJSON, JSON)}

    def write(operation: str, summary: str, status: str, content: Mapping[str, Any] | None) -> Any:
        there = [] if status == "201" else [_path("code"), _header("If-Match")]
        document = _operation("Features", f"{name}.{operation}", f"{title}: {summary}", [*there, *said], {})
        answers = document["responses"]
        del answers["200"]
        answers[status] = {"description": summary}
        refused = ("404", "409", *(("408", "413", "415") if content else ()), *(("412", "428") if there else ()))
        answers |= {one: _response(one) for one in refused}
        return document | ({"requestBody": {"required": True, "content": content}} if content else {})

    items = f"/collections/{name}/items"
    return {
        items: {"post": write("createFeature", "create a feature", "201", feature)},
        f"{items}/{{code}}": {
            "put": write("replaceFeature", "replace a feature", "204", feature),
            "patch": write("updateFeature", "change parts of a feature", "204", {MERGE_PATCH: {"schema": OBJECT}}),
            "delete": write("deleteFeature", "delete a feature", "204", None),
        },
    }


def _header(name: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "schema": TEXT}


def _process_paths() -> dict[str, Any]:
    both = [parameters.F_JSON_OR_HTML.document]
    described = {JSON: OBJECT, HTML: TEXT}
    form: list[Mapping[str, Any]] = [parameters.f_of(["json", *scenarios.FORMATS]).document]
    answers = {JSON: OBJECT, **{one.media_type: _BINARY for one in scenarios.FORMATS.values()}}
    listing = [parameter.document for parameter in processes.LISTING]
    paths = {"/processes": _get("Processes", "getProcesses", "Scenarios", listing, described)}
    for name, scenario in scenarios.scenarios().items():
        path = f"/processes/{name}"
        paths[path] = _get("Processes", f"{name}.getProcess", scenario.title, both, described)
        execute = _operation("Processes", f"{name}.execute", f"Execute: {scenario.title}", form, answers)
        execute["requestBody"] = {"required": True, "content": {JSON: {"schema": ref("execute")}}}
        execute["parameters"] = [*execute["parameters"], _header("Prefer")]
        execute["responses"] |= {status: _response(status) for status in ("404", "408", "409", "413", "415")}
        execute["responses"]["201"] = _created("The job, where the client prefers respond-async")
        paths[f"{path}/execution"] = {"post": execute}
    return paths


def _proposal_paths(*, writing: bool) -> dict[str, Any]:
    code, json_only = [_path("code")], [parameters.F_JSON.document]
    against, both = [*code, proposals.AGAINST.document, *json_only], [parameters.F_JSON_OR_HTML.document]
    paths = {
        "/proposals": _get("Processes", "getProposals", "Recorded proposals", both, {JSON: OBJECT, HTML: TEXT}),
        "/proposals/{code}": _get("Processes", "getProposal", "A proposal", [*code, *json_only], {JSON: OBJECT}),
        "/proposals/{code}/diff": _get("Processes", "diffProposal", "What it changes", against, {JSON: OBJECT}),
    }
    if not writing:
        return paths

    def write(name: str, summary: str, status: str = "200") -> dict[str, Any]:
        there = [] if status == "201" else code
        said = [_header(header) for header in ("CIM-Actor", "CIM-Reason")]
        document = _operation("Processes", f"{name}Proposal", summary, [*there, *said], {JSON: OBJECT})
        document["requestBody"] = {"required": True, "content": {JSON: {"schema": proposals.BODIES[name]}}}
        document["responses"] |= {one: _response(one) for one in ("404", "408", "409", "413", "415")}
        document["responses"][status] = document["responses"].pop("200")
        return document

    paths["/proposals"]["post"] = write("create", "Record a proposal", "201")
    paths["/proposals/{code}"]["put"] = write("revise", "Put other interventions in the place of a draft's")
    for name, step in (("rebase", "rebase"), ("merge", "merge"), ("withdraw", "withdrawal")):
        paths[f"/proposals/{{code}}/{step}"] = {"post": write(name, f"{name.capitalize()} a draft")}
    return paths


def _job_paths() -> dict[str, Any]:
    both, listing = [parameters.F_JSON_OR_HTML.document], [p.document for p in jobs.LISTING]
    number: list[Mapping[str, Any]] = [_path("jobId")]
    status, results = {JSON: ref("statusInfo")}, {JSON: OBJECT, _OCTETS: _BINARY}
    one = _get("Processes", "getStatus", "Status of a job", [*number, *both], {**status, HTML: TEXT})
    one["delete"] = _operation("Processes", "dismiss", "End a job, or forget its results", number, status)
    # A failed job answers as the process would have.
    given = _get("Processes", "getResult", "Results of a job", number, results)
    given["get"]["responses"] |= {code: _response(code) for code in ("409", "413")}
    upload = _operation("Processes", "ingest", "Take a file in, as a job", [p.document for p in jobs.INGEST], {})
    upload["requestBody"] = {"required": True, "content": {_OCTETS: {"schema": _BINARY}}}
    upload["responses"] |= {code: _response(code) for code in ("408", "413")}
    del upload["responses"]["200"]
    upload["responses"]["201"] = _created("The job")
    return {
        "/jobs": _get("Processes", "getJobs", "The caller's jobs", listing, {JSON: OBJECT, HTML: TEXT}),
        "/jobs/{jobId}": one,
        "/jobs/{jobId}/results": given,
        "/ingest": {"post": upload},
    }


def _created(description: str) -> dict[str, Any]:
    headers = {"Location": {"schema": TEXT}}
    return {"description": description, "headers": headers, "content": {JSON: {"schema": ref("statusInfo")}}}


def _log_paths() -> dict[str, Any]:
    tile = _get("Log", "getTile", "Hash tile (C2SP tlog-tiles)", [_path("level"), _path("index")], {_OCTETS: _BINARY})
    return {
        "/log/verify": _get("Log", "getVerifier", "Page that verifies a proof in the browser", [], {HTML: TEXT}),
        "/log/checkpoint": _get("Log", "getCheckpoint", "Signed checkpoint", [], {_PLAIN: TEXT}),
        "/log/tile/{level}/{index}": tile,
        "/log/proof": _get("Log", "getProof", "Proof of a record", [_shared(p) for p in log.PROOF], {_PLAIN: TEXT}),
    }


_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
_UNCHANGED: dict[str, Any] = {"description": "The client holds it, as it says by If-None-Match"}


def _get(tag: str, name: str, summary: str, declared: Iterable[Mapping[str, Any]], content: Mapping[str, Any]) -> Any:
    return {"get": _operation(tag, name, summary, list(declared), content)}


def _operation(
    tag: str, name: str, summary: str, declared: list[Mapping[str, Any]], content: Mapping[str, Any]
) -> dict[str, Any]:
    answers: dict[str, Any] = {
        "200": {"description": summary, "content": {media: {"schema": schema} for media, schema in content.items()}},
        "400": _response("400"),
        **{status: _response(status) for status in ("401", "403", "429", "431", "500", "503")},
    }
    if declared:
        answers["404"] = _response("404")
    return {"tags": [tag], "operationId": name, "summary": summary, "parameters": declared, "responses": answers}


def _errors() -> dict[str, Any]:
    meanings = {
        "400": "The request cannot be understood",
        "401": "A key or a token is needed, or the one given is not taken",
        "403": "The caller's scopes or divisions do not allow it",
        "404": "There is no such resource, or no such state of the city",
        "408": "The body did not come in time",
        "409": "The state of the city does not allow it",
        "412": "The feature is not in the revision that If-Match names",
        "413": "The body is too large",
        "415": "The body is of a media type that is not taken here",
        "428": "If-Match is missing",
        "429": "Too many requests or open jobs; Retry-After says when to come back",
        "431": "Address and headers are too long",
        "500": "A defect of the server",
        "503": "The database is busy or away; Retry-After says when to come back",
    }
    content = {_PROBLEM: {"schema": ref("problem")}}
    return {f"problem{status}": {"description": text, "content": content} for status, text in meanings.items()}


def _response(status: str) -> dict[str, str]:
    return {"$ref": f"#/components/responses/problem{status}"}


def _shared(parameter: Parameter) -> dict[str, str]:
    return {"$ref": f"#/components/parameters/{parameter.name}"}


def _path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": TEXT}
