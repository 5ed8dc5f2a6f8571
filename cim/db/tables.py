"""SQLAlchemy tables of the feature types, made from the dictionary: columns, comments, checks, indexes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from geoalchemy2 import Geometry
from sqlalchemy.dialects.postgresql import JSONB

from cim.dictionary import Codelist, Dictionary, FeatureType, Kind, Property

SCHEMA = "city"

COLUMN_TYPES: Mapping[Kind, sa.types.TypeEngine[Any]] = {
    "string": sa.Text(),
    "integer": sa.BigInteger(),
    "number": sa.Double(),
    "boolean": sa.Boolean(),
    "date": sa.Date(),
    "datetime": sa.DateTime(timezone=True),
    "object": JSONB(none_as_null=True),
}
# The same, as Arrow has it: what rows must be cast to on their way into a COPY. JSON travels as its text.
ARROW_TYPES: Mapping[Kind, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us", tz="UTC"),
    "object": pa.string(),
}


def metadata_of(dictionary: Dictionary, srid: int) -> sa.MetaData:
    """Return the metadata of schema `city`: one table per feature type, named like it."""
    metadata = sa.MetaData(schema=SCHEMA)
    for feature_type in dictionary.types.values():
        _table(metadata, feature_type, srid)
    return metadata


def _table(metadata: sa.MetaData, feature_type: FeatureType, srid: int) -> sa.Table:
    columns: list[sa.schema.SchemaItem] = [
        sa.Column("code", sa.Text(collation="C"), primary_key=True, comment=f"Code by {feature_type.code_scheme}"),
        sa.Column("rev", sa.BigInteger, nullable=False, comment="Number of the revision; set by the database"),
        *(_column(prop) for prop in feature_type.properties),
        sa.Column("attributes", JSONB(none_as_null=True), comment="What the source had beyond the dictionary"),
    ]
    if feature_type.geometry is not None:
        columns.append(
            sa.Column(
                "geom",
                Geometry(feature_type.geometry, srid=srid, spatial_index=False),
                nullable=not feature_type.geometry_required,
                comment="Geometry in the storage CRS",
            )
        )
    table = sa.Table(
        feature_type.name,
        metadata,
        *columns,
        comment=f"{feature_type.title_zh} {feature_type.description}".strip(),
    )
    table.primary_key.name = f"{feature_type.name}_pkey"  # as PostgreSQL calls it
    if feature_type.geometry is not None:
        sa.Index(f"{feature_type.name}_geom", table.c.geom, postgresql_using="gist")
        if not feature_type.geometry_required:
            # They meet every box; the spatial index finds them only by looking at all of itself.
            without = table.c.geom.is_(None)
            sa.Index(f"{feature_type.name}_without_geom", table.c.code, postgresql_where=without)
    for prop in feature_type.properties:
        if prop.references is not None:
            column = table.c[prop.name]
            # Few layers say it, and an entry for every null costs as much as one for a value.
            sa.Index(f"{feature_type.name}_{prop.name}", column, postgresql_where=column.is_not(None))
    return table


def _column(prop: Property) -> sa.Column[object]:
    unit = f" [{prop.unit}]" if prop.unit else ""
    labels = " ".join(filter(None, (prop.title_zh, prop.title)))
    return sa.Column(
        prop.name,
        COLUMN_TYPES[prop.kind],
        nullable=not prop.required,
        comment=f"{labels}{unit}. {prop.description}".strip(),
    )


def checks_of(
    feature_type: FeatureType, codelists: Mapping[str, Codelist], table: sa.Table
) -> dict[str, sa.ColumnElement[bool]]:
    """Return the table's check constraints by name, from the limits, patterns and codelists of its properties.

    Numbers must be finite: JSON has no NaN, so the log could not hold one.
    """
    checks: dict[str, sa.ColumnElement[bool]] = {}
    for prop in feature_type.properties:
        column = table.c[prop.name]
        rules: list[sa.ColumnElement[bool]] = []
        if prop.kind == "number":
            infinity: sa.ColumnElement[float] = sa.literal_column("'Infinity'::float8")
            rules += [column > -infinity, column < infinity]
        if prop.minimum is not None:
            rules.append(column >= prop.minimum)
        if prop.maximum is not None:
            rules.append(column <= prop.maximum)
        if prop.max_length is not None:
            rules.append(sa.func.char_length(column) <= prop.max_length)
        if prop.pattern is not None:
            rules.append(column.regexp_match(prop.pattern))
        if prop.codelist is not None:
            rules.append(column.in_(list(codelists[prop.codelist].values)))
        if rules:
            checks[f"{feature_type.name}_{prop.name}_valid"] = sa.and_(*rules)
    return checks
