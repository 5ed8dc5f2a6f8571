"""Deployment settings: read once at the edge, then passed down. Importing this module does nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict, cast, get_args

import platformdirs

from cim.errors import InvalidData
from cim.files import Store, store_at

# EPSG:4548 is CGCS2000 / 3-degree Gauss-Kruger CM 117E, the CRS of the sample district.
DEFAULT_SRID = 4548
DEFAULT_ORIGIN = "localhost/cim"
# Fifty a second, minute by minute: a map that pans, a desktop that pages, and no more.
DEFAULT_RATE = "3000/minute"
ApiWrite = Literal["no", "yes", "if-match"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a deployment keeps its data and how it names itself.

    Attributes
    ----------
    home : folder of the embedded cluster, the log directory, the keys and the file store.
    database_url : SQLAlchemy or libpq URL of a PostgreSQL server; None runs the embedded cluster.
    srid : EPSG code of the storage CRS, projected, metres.
    files : folder or URL of the file store; None keeps it in `home`.
    origin : name of the change log, a scheme-less URL without `+` or white space (C2SP checkpoint origin).
    dictionary : folder of a city's own feature types, laid out like schemas/v1; None for none.
    code_schemes : feature type -> code scheme, where the city departs from the dictionary's default.
    api_write : whether the API lets anybody who reaches it write: no, yes, or only over a revision stated by If-Match;
        who has a scope for it may write in any case.
    api_public : feature types that anybody may read over the API; None for all, none of them for nobody.
    api_database_url : login that the API reads with, a member of its three roles; None for that of `database_url`.
    api_rate : how many requests a client may send, as 3000/minute; `no` for no limit. Not counted on loopback.
    api_origins : origins whose pages may call the API from a browser; `*` for any.
    oidc_issuer, oidc_audience : whose bearer tokens the API takes, and for whom they must be made out; None for none.
    """

    home: Path
    database_url: str | None = None
    srid: int = DEFAULT_SRID
    origin: str = DEFAULT_ORIGIN
    files: str | None = None
    dictionary: Path | None = None
    code_schemes: Mapping[str, str] = field(default_factory=dict)
    api_write: ApiWrite = "no"
    api_public: frozenset[str] | None = None
    api_database_url: str | None = None
    api_rate: str = DEFAULT_RATE
    api_origins: frozenset[str] = frozenset({"*"})
    oidc_issuer: str | None = None
    oidc_audience: str | None = None

    @property
    def log_dir(self) -> Path:
        """Folder of the published log: checkpoint and tiles, nothing secret."""
        return self.home / "log"

    @property
    def keys_dir(self) -> Path:
        """Folder of the signing key and the last-signed record."""
        return self.home / "keys"

    @property
    def files_dir(self) -> Store:
        """Store of content-addressed source and representation files: a folder, or a place fsspec writes to."""
        return self.home / "files" if self.files is None else store_at(self.files)

    def variables(self) -> dict[str, str]:
        """Return the CIM_* variables that give these settings, for a process of our own."""
        given: dict[str, str | Path | None] = {
            "CIM_HOME": self.home,
            "CIM_DATABASE_URL": self.database_url,
            "CIM_SRID": str(self.srid),
            "CIM_ORIGIN": self.origin,
            "CIM_FILES": self.files,
            "CIM_DICTIONARY": self.dictionary,
            "CIM_CODE_SCHEMES": ",".join(f"{name}={scheme}" for name, scheme in self.code_schemes.items()),
            "CIM_API_WRITE": self.api_write,
            "CIM_API_PUBLIC": "*" if self.api_public is None else ",".join(sorted(self.api_public)),
            "CIM_API_DATABASE_URL": self.api_database_url,
            "CIM_API_RATE": self.api_rate,
            "CIM_API_ORIGINS": ",".join(sorted(self.api_origins)),
            "CIM_OIDC_ISSUER": self.oidc_issuer,
            "CIM_OIDC_AUDIENCE": self.oidc_audience,
        }
        return {name: str(value) for name, value in given.items() if value is not None}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read CIM_* variables; a `.env` file in the working folder supplies those the environment lacks.

        Raises
        ------
        InvalidData : a variable has a value of the wrong form, or an unknown CIM_ variable is set.
        """
        variables = {**_dotenv(Path(".env")), **(os.environ if environment is None else environment)}
        unknown = sorted(k for k in variables if k.startswith("CIM_") and k not in VARIABLES)
        if unknown:
            raise InvalidData(f"unknown setting {', '.join(unknown)}; known: {', '.join(VARIABLES)}")
        home = variables.get("CIM_HOME")
        dictionary = variables.get("CIM_DICTIONARY")
        return cls(
            home=Path(home).absolute() if home else Path(platformdirs.user_data_dir("cim")),
            database_url=variables.get("CIM_DATABASE_URL") or None,
            srid=_srid(variables.get("CIM_SRID") or str(DEFAULT_SRID)),
            origin=_origin(variables.get("CIM_ORIGIN") or DEFAULT_ORIGIN),
            files=variables.get("CIM_FILES") or None,
            dictionary=Path(dictionary).absolute() if dictionary else None,
            code_schemes=_pairs(variables.get("CIM_CODE_SCHEMES", "")),
            api_write=_api_write(variables.get("CIM_API_WRITE") or "no"),
            api_public=_public(variables.get("CIM_API_PUBLIC", "*")),
            api_database_url=variables.get("CIM_API_DATABASE_URL") or None,
            api_rate=variables.get("CIM_API_RATE") or DEFAULT_RATE,
            api_origins=frozenset(variables.get("CIM_API_ORIGINS", "*").replace(",", " ").split()),
            **_oidc(variables.get("CIM_OIDC_ISSUER") or None, variables.get("CIM_OIDC_AUDIENCE") or None),
        )


VARIABLES = {
    "CIM_HOME": "folder of the embedded database, log, keys and files",
    "CIM_DATABASE_URL": "PostgreSQL server to use instead of the embedded one",
    "CIM_SRID": "EPSG code of the storage CRS (projected, metres)",
    "CIM_ORIGIN": "name of the change log, a URL without scheme",
    "CIM_FILES": "file store: a folder, or a URL fsspec understands, as s3://bucket/city",
    "CIM_DICTIONARY": "folder with the city's own feature types",
    "CIM_CODE_SCHEMES": "code scheme per feature type, as building=nl-bag,parcel=cn-bdcdyh",
    "CIM_API_WRITE": "whether the API takes writes of anybody: no, yes, if-match",
    "CIM_API_PUBLIC": "feature types that anybody may read over the API, as building,parcel; * for all, empty for none",
    "CIM_API_DATABASE_URL": "login that the API reads with",
    "CIM_API_RATE": "requests a client may send the API, as 3000/minute; no for no limit",
    "CIM_API_ORIGINS": "origins whose pages may call the API, as https://map.example.org; * for any, empty for none",
    "CIM_OIDC_ISSUER": "URL of the OpenID Connect issuer whose tokens the API takes",
    "CIM_OIDC_AUDIENCE": "audience that those tokens must be made out for",
}


def _dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidData(f"{path.absolute()} cannot be read as UTF-8 text: {error}") from error
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs if key.startswith("CIM_")}


def _srid(text: str) -> int:
    digits = text.upper().removeprefix("EPSG:")
    # PostGIS keeps codes up to 999999 (SRID_MAXIMUM).
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 6):
        raise InvalidData(f"CIM_SRID must be an EPSG code such as 4548, got {text!r}")
    return int(digits)


def _origin(text: str) -> str:
    if "://" in text or "+" in text or any(c.isspace() for c in text) or not text.isprintable():
        raise InvalidData(f"CIM_ORIGIN must be a URL without scheme, '+' or spaces, got {text!r}")
    return text


def _api_write(text: str) -> ApiWrite:
    if text not in get_args(ApiWrite):
        raise InvalidData(f"CIM_API_WRITE must be one of {', '.join(get_args(ApiWrite))}, got {text!r}")
    return cast("ApiWrite", text)


def _public(text: str) -> frozenset[str] | None:
    return None if text.strip() == "*" else frozenset(name.strip() for name in text.split(",") if name.strip())


class _Oidc(TypedDict):
    oidc_issuer: str | None
    oidc_audience: str | None


def _oidc(issuer: str | None, audience: str | None) -> _Oidc:
    if (issuer is None) != (audience is None):
        raise InvalidData("CIM_OIDC_ISSUER and CIM_OIDC_AUDIENCE go together: set both or neither")
    # What an issuer says is believed: nobody on the way may change it.
    local = ("http://127.0.0.1:", "http://localhost:", "http://[::1]:")
    if issuer is not None and not issuer.startswith(("https://", *local)):
        raise InvalidData(f"CIM_OIDC_ISSUER must be an https URL, got {issuer!r}")
    return {"oidc_issuer": issuer, "oidc_audience": audience}


def _pairs(text: str) -> dict[str, str]:
    pairs = [item.partition("=") for item in text.split(",") if item.strip()]
    if any(not (key.strip() and value.strip()) for key, _, value in pairs):
        raise InvalidData(f"CIM_CODE_SCHEMES must look like building=nl-bag,parcel=cn-bdcdyh, got {text!r}")
    return {key.strip(): value.strip() for key, _, value in pairs}
