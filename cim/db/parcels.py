"""What stands on each parcel, kept added up (cim.parcel_indicator): brought up to date, or made anew."""

from __future__ import annotations

import sqlalchemy as sa

from cim.db.script import query

TOGETHER = 20_000  # parcels in a transaction


def add_up_parcels(connection: sa.Connection, *, anew: bool = False) -> None:
    """Add up the parcels that were touched, in transactions of their own; those that wait for a leaf stay touched.

    Parameters
    ----------
    anew : all parcels, and not those alone that were touched
    """
    if anew:
        with connection.begin():
            connection.execute(query("parcels/touch_all"))
    after: str | None = ""
    while after is not None:
        with connection.begin():
            after = connection.execute(query("parcels/add_up"), {"after": after, "most": TOGETHER}).scalar_one()
