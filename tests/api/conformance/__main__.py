"""Check an API: `python -m tests.api.conformance URL`; exit code 1 where it does not do what it claims."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import httpx
from jsonschema.exceptions import SchemaError, ValidationError

from tests.api.conformance import part1, part2, part3, part4, part5, processes  # noqa: F401 - each lists its own
from tests.api.conformance.client import Api
from tests.api.conformance.registry import ASSERTIONS, SPEC, Assertion, NotApplicable

# What comes of a document that is not as the standards have it.
_BROKEN = (AssertionError, KeyError, ValueError, TypeError, IndexError)


def outcome(api: Api, assertion: Assertion) -> str:
    """Return `passed`, `not claimed`, `nothing to try`, or what was found instead."""
    if SPEC + assertion.conformance not in api.claims:
        return "not claimed"
    try:
        assertion.check(api)
    except NotApplicable as why:
        return f"nothing to try: {why}"
    except (*_BROKEN, ValidationError, SchemaError, httpx.HTTPError) as error:
        return f"FAILED: {type(error).__name__} {error}".splitlines()[0]
    return "passed"


def main() -> None:
    """Print the outcome of every assertion."""
    parser = argparse.ArgumentParser(prog="tests.api.conformance", description=__doc__)
    parser.add_argument("url", help="landing page of the API")
    parser.add_argument("--header", action="append", default=[], help="NAME: VALUE to send with each request")
    parser.add_argument("--feature", type=Path, help="GeoJSON feature that may be created, changed and deleted")
    parser.add_argument("--into", help="collection to create it in")
    asked = parser.parse_args()
    headers = {name.strip(): value.strip() for name, _, value in (text.partition(":") for text in asked.header)}
    writable = None if asked.feature is None else json.loads(asked.feature.read_text(encoding="utf-8"))
    with httpx.Client(base_url=asked.url, headers=headers, timeout=60) as http:
        api = Api(http, writable, asked.into)
        found = [(one, outcome(api, one)) for one in ASSERTIONS]
        unknown = api.claims - {SPEC + one.conformance for one in ASSERTIONS}
    for one, what in found:
        for name in one.names:
            print(f"{name:80} {what}")
    for claimed in sorted(unknown):
        print(f"claimed, and not looked at here: {claimed}")
    print(dict(Counter(what.partition(":")[0] for _, what in found)))
    sys.exit(any(what.startswith("FAILED") for _, what in found))


if __name__ == "__main__":
    main()
