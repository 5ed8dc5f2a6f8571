"""Bring a database up to this version of the platform and of the dictionary: additive, one transaction, one lock."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.schema import AddConstraint, CheckConstraint, DropConstraint

from cim.db.script import execute_script, functions, query
from cim.db.tables import SCHEMA, checks_of, metadata_of
from cim.dictionary import Dictionary, FeatureType
from cim.errors import Conflict, DatabaseError, InvalidData, NotFound

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(connection: sa.Connection, dictionary: Dictionary, srid: int) -> list[str]:
    """Apply what is missing and return the names of the feature types that changed (none on an up-to-date database).

    Must run in a transaction of its own: it lands whole or not at all. Two callers at once wait for each other.

    Raises
    ------
    Conflict : an applied migration was edited; the dictionary drops or changes a column; the storage CRS differs.
    CrsError : a new database is to store coordinates that are not planar metres.
    InvalidData : a feature type names no code scheme, or no level of it.
    DatabaseError : the database cannot hold us (no PostGIS, no right to create schemas).
    """
    connection.execute(query("migration/lock"))
    try:
        _apply_platform(connection)
    except sa.exc.DBAPIError as error:
        raise DatabaseError(f"cannot set up database: {error.orig}; give the role CREATE rights and PostGIS") from error
    _check_srid(connection, srid)
    changed = _changed_types(connection, dictionary)
    if changed:
        _apply_dictionary(connection, dictionary, srid, changed)
    return [feature_type.name for feature_type in changed]


def _scripts() -> dict[str, str]:
    files = sorted((MIGRATIONS / "versions").glob("*.sql"))
    return {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _apply_platform(connection: sa.Connection) -> None:
    known = sa.inspect(connection).has_table("migration", schema="cim")
    applied = {row.version: row.sha256 for row in connection.execute(query("migration/list"))} if known else {}
    current = _scripts()
    edited = [version for version, digest in applied.items() if current.get(version, digest) != digest]
    if edited:
        raise Conflict(
            f"migration {', '.join(edited)} was edited after it was applied; restore the file and write a new migration"
        )
    unknown = applied.keys() - current.keys()
    if unknown:
        raise Conflict(f"the database is newer than this version: it has migration {', '.join(sorted(unknown))}")
    if applied.keys() == current.keys():
        _refresh_functions(connection)
        return
    # Alembic takes longer to load than all of us, and almost every opening finds nothing to do.
    from cim.db.upgrade import run_revisions

    run_revisions(connection, MIGRATIONS)
    for version, digest in current.items():
        if version not in applied:
            connection.execute(query("migration/record"), {"version": version, "sha256": digest})
    _refresh_functions(connection)


def _refresh_functions(connection: sa.Connection) -> None:
    """Apply the function scripts, if they are not the ones applied last."""
    scripts = functions()
    digest = hashlib.sha256("\0".join(scripts).encode()).hexdigest()
    if connection.execute(query("migration/functions_digest")).scalar() == digest:
        return
    for script in scripts:
        execute_script(connection, script)
    connection.execute(query("migration/reattach_types"))
    connection.execute(query("migration/record_functions"), {"digest": digest})


def _check_srid(connection: sa.Connection, srid: int) -> None:
    stored = connection.execute(query("migration/deployment_srid")).scalar()
    if stored is None:
        from cim import crs

        crs.check_storage(crs.parse(srid))
        connection.execute(query("migration/fix_srid"), {"srid": srid})
    elif stored != srid:
        raise Conflict(
            f"this database stores EPSG:{stored}, but CIM_SRID is {srid}; set CIM_SRID={stored} or use another database"
        )


def _changed_types(connection: sa.Connection, dictionary: Dictionary) -> list[FeatureType]:
    stored = {row.name: row.digest for row in connection.execute(query("migration/type_digests"))}
    missing = stored.keys() - dictionary.types.keys()
    if missing:
        raise Conflict(
            f"the dictionary lacks {', '.join(sorted(missing))}, which this database holds; types are never dropped: "
            "set CIM_DICTIONARY to the folder that defines them"
        )
    return [t for t in dictionary.types.values() if stored.get(t.name) != _digest(t, dictionary)]


def _digest(feature_type: FeatureType, dictionary: Dictionary) -> str:
    """Digest of all that the table is made from: the schema, the scheme in force, the values of its codelists."""
    codelists = {
        prop.codelist: sorted(dictionary.codelists[prop.codelist].values)
        for prop in feature_type.properties
        if prop.codelist is not None
    }
    basis = [feature_type.schema, feature_type.code_scheme, codelists]
    return hashlib.sha256(json.dumps(basis, sort_keys=True).encode()).hexdigest()


def _apply_dictionary(connection: sa.Connection, dictionary: Dictionary, srid: int, changed: list[FeatureType]) -> None:
    from cim.db.upgrade import add_tables_and_columns

    _check_code_schemes(changed)
    metadata = metadata_of(dictionary, srid)
    add_tables_and_columns(connection, metadata)
    for feature_type in changed:
        _record_type(connection, feature_type, dictionary)
    _record_hierarchy(connection, dictionary)
    for feature_type in changed:
        _renew_checks(connection, feature_type, dictionary, metadata)
        connection.execute(query("migration/attach_type"), {"type": feature_type.name})
    connection.execute(query("migration/record_schema_entry"), {"digests": json.dumps(dictionary.digests())})


def _check_code_schemes(changed: list[FeatureType]) -> None:
    from cim import codes

    for feature_type in changed:
        try:
            codes.check_many_for(feature_type, [])
        except NotFound as error:
            raise InvalidData(f"{feature_type.name}: {error}; correct its schema, or CIM_CODE_SCHEMES") from error


def _renew_checks(
    connection: sa.Connection, feature_type: FeatureType, dictionary: Dictionary, metadata: sa.MetaData
) -> None:
    table = metadata.tables[f"{SCHEMA}.{feature_type.name}"]
    existing = {c["name"] for c in sa.inspect(connection).get_check_constraints(feature_type.name, schema=SCHEMA)}
    for name, rule in checks_of(feature_type, dictionary.codelists, table).items():
        constraint = CheckConstraint(rule, name=name, table=table)
        if name in existing:
            connection.execute(DropConstraint(constraint))
        try:
            connection.execute(AddConstraint(constraint))
        except sa.exc.IntegrityError as error:
            raise Conflict(
                f"the dictionary's new limits on {feature_type.name} do not hold for objects already stored "
                f"({name}): mend those objects first, or widen the limits"
            ) from error


def _record_hierarchy(connection: sa.Connection, dictionary: Dictionary) -> None:
    """Record which property of each type names what its objects lie in, and hold them to it."""
    for feature_type in dictionary.types.values():
        names = [p.name for p in feature_type.properties if p.references == feature_type.parent]
        if feature_type.parent is None or not names:
            continue
        values = {"type": feature_type.name, "property": names[0], "parent": feature_type.parent}
        connection.execute(query("hierarchy/record"), values)
        connection.execute(query("hierarchy/attach"), {"type": feature_type.name})
        connection.execute(query("hierarchy/attach"), {"type": feature_type.parent})


def _record_type(connection: sa.Connection, feature_type: FeatureType, dictionary: Dictionary) -> None:
    connection.execute(
        query("migration/record_type"),
        {
            "name": feature_type.name,
            "code_scheme": feature_type.code_scheme,
            "geometry": feature_type.geometry,
            "digest": _digest(feature_type, dictionary),
            "schema": json.dumps(dict(feature_type.schema)),
        },
    )
    columns = [(p.name, p.kind, p.private) for p in feature_type.properties] + [("attributes", "object", False)]
    connection.execute(
        query("migration/record_property"),
        [
            {"type": feature_type.name, "name": name, "position": position, "kind": kind, "private": private}
            for position, (name, kind, private) in enumerate(columns)
        ],
    )
