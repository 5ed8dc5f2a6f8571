"""Read a collection through a proposal: the city as it would be, for who may see all that the proposal says.

What a proposal changes and adds does not pass by the row-level security of the tables it is not in yet. So it is for
those alone whom no division limits in what they ask for, in proposals, and in interventions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from api.access import caller_of
from api.site import Site, State

SAID_IN = ("proposal", "intervention")


async def asked_state(
    request: Request, site: Site, type_name: str, asked: Mapping[str, Any]
) -> tuple[State | None, str | None]:
    """Return the state that `as-of` and `proposal` mean, None for the live one, and the branch to read through, if any.

    Raises
    ------
    HTTPException : 401 or 403, the caller may not see all of it. NotFound, Conflict, InvalidData : as `City.branch`.
    """
    code = asked.get("proposal")
    if code is None:
        return await site.pinned(asked.get("as-of")), None
    caller = caller_of(request)
    for name in (type_name, *SAID_IN):
        if not caller.sees(name):
            raise caller.refusal(f"reading {type_name} through a proposal", f"{name}:read")
        if caller.reading(name).role == "cim_district":
            detail = f"reading {type_name} through a proposal needs {name}:read without a limit to divisions"
            raise HTTPException(403, detail)
    head, branch = await run_in_threadpool(site.city.branch, code, asked.get("as-of"))
    # Never fixed: a draft may be revised, and lies on the same state then.
    return State.pinned(head), branch
