"""City: the one door to a city for the API, the command line and Jupyter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import shapely
import sqlalchemy as sa
from shapely.geometry.base import BaseGeometry

from cim import scenarios
from cim.db import history, privacy
from cim.db.access import record_disclosure
from cim.db.engine import Database, told
from cim.db.features import select_rows
from cim.db.hierarchy import Orphan, orphans
from cim.db.history import Lag, StoredLeaf
from cim.db.identifiers import Identifier, Resolution, resolve_identifier, write_identifiers
from cim.db.logstore import LogStore
from cim.db.minting import mint
from cim.db.parcels import add_up_parcels
from cim.db.replay import ReplayReport, replay
from cim.db.state import AsOf, TreeHead, resolve
from cim.db.supersession import supersede
from cim.errors import Conflict, InvalidData, NotFound
from cim.log.audit import AuditReport, Progress, audit
from cim.log.audit_record import AuditRecord
from cim.log.disclosure import Disclosure
from cim.log.folder import LogFolder, geometry_path
from cim.log.note import Verifier
from cim.log.publisher import Publisher
from cim.log.sequencer import sequence
from cim.log.signer import KEY, VERIFIER
from cim.log.tiles import TileReader
from cim.proposals import Proposals
from cim.settings import Settings

if TYPE_CHECKING:
    # A second of loading that only frames need: commands that neither read nor write one do not wait for it.
    import geopandas as gpd
    import pandas as pd

    from cim.db.write import WriteCounts


@dataclass(frozen=True, slots=True)
class CityObject:
    """One object in one state: `geometry` in the storage CRS, `leaf` None while the log has not reached it."""

    type: str
    code: str
    rev: int
    properties: Mapping[str, Any]
    geometry: BaseGeometry | None
    leaf: int | None


class City:
    """A city's coded objects, their history, their proofs, and the scenarios computed on them.

    Opening it starts the embedded database where no server is named. Use it as a context manager, or `close` it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings)

    @cached_property
    def publisher(self) -> Publisher:
        """The log directory and its signing key, made on first use."""
        return Publisher(self.settings.log_dir, self.settings.keys_dir, self.settings.origin)

    @cached_property
    def proposals(self) -> Proposals:
        """The recorded proposals: draw up, compare, rebase, merge."""
        return Proposals(self.database)

    # ------------------------------------------------------------------ reading

    def features(
        self,
        type_name: str,
        *,
        bbox: tuple[float, float, float, float] | None = None,
        bbox_crs: str | int | None = None,
        where: str | None = None,
        as_of: AsOf = None,
        proposal: str | None = None,
        properties: list[str] | None = None,
        limit: int | None = None,
    ) -> gpd.GeoDataFrame:
        """Return the objects of a type as a GeoDataFrame indexed by code, in the storage CRS, in code order.

        Parameters
        ----------
        bbox : (min x, min y, max x, max y) in `bbox_crs`, x before y; objects without geometry match every box
        bbox_crs : any CRS pyproj names; default the storage CRS
        where : CQL2 text, such as "year_built < 1980 AND structure = 'brick_wood'"
        as_of : tree size, checkpoint or instant; default the live tables
        proposal : code of a proposal to read through, on the state it is pinned to unless `as_of` names another
        properties : columns wanted; default all public ones
        limit : at most so many

        Returns
        -------
        GeoDataFrame with `attrs["tree_size"]` and `attrs["tree_root"]` (hex) of the state it was read at; both None
        where the live tables are ahead of the log. No object gives an empty frame with all columns.

        Raises
        ------
        NotFound : no such type, or no such state. InvalidFilter : the box or the filter cannot be understood.
        """
        import geopandas as gpd
        import pandas as pd

        feature_type = self.database.dictionary.type(type_name)
        with self.database.reading() as connection:
            branch = None
            if proposal is not None:
                as_of, branch = self.proposals.branch(connection, proposal, as_of)
            head = None if as_of is None else self._resolve(connection, as_of)
            statement = select_rows(
                self.database,
                type_name,
                bbox=bbox,
                bbox_crs=bbox_crs,
                where=where,
                tree_size=head.size if head else None,
                branch=branch,
                properties=properties,
                limit=limit,
            )
            frame = pd.DataFrame(
                connection.execute(statement).mappings().all(), columns=statement.selected_columns.keys()
            )
            pinned = head or self._live_head(connection)
        frame = frame.set_index("code")
        if feature_type.geometry is not None:
            frame["geom"] = shapely.from_wkb(frame["geom"].to_numpy(dtype=object))
        else:
            frame["geom"] = None
        result = gpd.GeoDataFrame(frame, geometry="geom", crs=self.settings.srid)
        result.attrs = {
            "tree_size": pinned.size if pinned else None,
            "tree_root": pinned.root.hex() if pinned else None,
        }
        return result

    def branch(self, proposal: str, as_of: AsOf = None) -> tuple[TreeHead, str]:
        """Return the state a proposal is to be read on, and its branch as queries take it.

        Parameters
        ----------
        as_of : default the state that the proposal is pinned to

        Raises
        ------
        NotFound : no such proposal or state. Conflict : it was drawn up on another log.
        InvalidData : it cannot be carried out in that state.
        """
        with self.database.reading() as connection:
            wanted = None if as_of is None else self._resolve(connection, as_of).size
            onto, branch = self.proposals.branch(connection, proposal, wanted)
            return self._resolve(connection, onto), branch

    def get(self, code: str, *, type_name: str | None = None, as_of: AsOf = None) -> CityObject:
        """Return one object by its code.

        Raises
        ------
        NotFound : no object has that code in that state. Conflict : several types know it; name one.
        """
        with self.database.reading() as connection:
            size = None if as_of is None else self._resolve(connection, as_of).size
            found = self._type_of(connection, code, type_name)
            row = connection.execute(history.select_object(self.database.table(found), size, code)).mappings().first()
            if row is None:
                when = "now" if size is None else f"at tree size {size}"
                raise NotFound(f"{found} {code} does not exist {when}; `cim history {code}` shows when it did")
            leaf = history.latest_leaf(connection, found, code, size)
        public = {p.name for p in self.database.dictionary.type(found).public_properties} | {"attributes"}
        return CityObject(
            found,
            code,
            row["rev"],
            {k: v for k, v in row.items() if k in public and v is not None},
            shapely.from_wkb(row["geom"]) if row.get("geom") is not None else None,
            leaf.idx if leaf is not None and leaf.rev == row["rev"] else None,
        )

    def history(self, code: str, *, type_name: str | None = None) -> list[history.Entry]:
        """Return every revision of an object, oldest first.

        Raises
        ------
        NotFound : the code was never recorded. Conflict : several types know it; name one.
        """
        with self.database.reading() as connection:
            return history.entries(connection, self._type_of(connection, code, type_name), code)

    def resolve(self, text: str, *, scheme: str | None = None, as_of: AsOf = None) -> list[Resolution]:
        """Return what a code or another published identifier names, with the supersessions that lead there.

        Parameters
        ----------
        text : in any spelling its scheme takes; a code that was superseded is followed to what took over
        scheme : one of `cim codes list`, or one that only the crosswalk knows; default any
        as_of : by what the log had then, on the day of it; default what is recorded by now, today

        Returns
        -------
        An object each; several after a split, none where nothing ever had the identifier.
        """
        with self.database.reading() as connection:
            head = None if as_of is None else self._resolve(connection, as_of)
            return resolve_identifier(connection, self.database.dictionary, text, scheme, head)

    def orphans(self) -> list[Orphan]:
        """Return objects that name a parent which is not there: loads may leave them so, for a load still to come."""
        with self.database.reading() as connection:
            return orphans(connection)

    # ------------------------------------------------------------------ the log

    def tree_head(self, as_of: AsOf = None) -> TreeHead:
        """Return the tree head that `as_of` means (default: the current one)."""
        with self.database.reading() as connection:
            return self._resolve(connection, as_of)

    def checkpoint(self) -> str:
        """Return the signed checkpoint as last published.

        Raises
        ------
        NotFound : nothing was published yet.
        """
        return self.publisher.checkpoint_text()

    def proof(self, code: str, *, type_name: str | None = None, as_of: AsOf = None) -> str:
        """Return a `.tlog-proof` of the object's latest (or as-of) revision under the published checkpoint.

        The entry itself travels in the proof's `extra` line, so that the one file verifies offline.

        Raises
        ------
        NotFound : the code was never recorded, or its revision is not sequenced yet.
        """
        with self.database.reading() as connection:
            leaf = self._leaf_of(connection, code, type_name, as_of)
        return self.publisher.prove(leaf.idx, leaf.entry).to_text()

    def disclose(
        self, code: str, field: str, *, type_name: str | None = None, as_of: AsOf = None, actor: str | None = None
    ) -> str:
        """Return a disclosure: one private value of the latest (or as-of) revision, with what proves it.

        That it was read, by the database's user and for `actor`, is committed before anything is returned.

        Raises
        ------
        InvalidData : the field is not private.
        NotFound : the code was never recorded, its revision is not sequenced yet, or has no such value (any more).
        """
        with told(), self.database.engine.begin() as connection:
            leaf = self._leaf_of(connection, code, type_name, as_of)
            feature_type = self.database.dictionary.type(leaf.type)
            salt, value = privacy.opening(connection, feature_type, code, leaf.rev, field)
            record_disclosure(connection, leaf.type, code, field, actor)
        return Disclosure(field, salt, value, self.publisher.prove(leaf.idx, leaf.entry).to_text()).to_text()

    def erase(
        self,
        code: str,
        fields: Sequence[str] = (),
        *,
        reason: str,
        actor: str | None = None,
        type_name: str | None = None,
    ) -> privacy.Erasure:
        """Erase private fields of an object (default: all that have values), in every revision, and record that.

        Proofs stay valid, and so do disclosures made before. Backups and source files are not reached.

        Raises
        ------
        InvalidData : a field is not private, or there is no reason. NotFound : no such object, or no private values.
        Conflict : several types know the code, or another writer changed the object at the same time.
        """
        if not reason.strip():
            raise InvalidData("an erasure needs a reason: it is recorded for good")
        with self.database.writing(actor, reason) as connection:
            found = self._type_of(connection, code, type_name)
            return privacy.erase(connection, self.database.dictionary.type(found), code, fields)

    def sequence(self, wait: float = 10.0, *, queue: bool = True) -> TreeHead:
        """Sequence and publish what is committed; `lag` tells what is not in the log yet.

        Parameters
        ----------
        wait : seconds to wait for revisions that an open transaction holds back
        queue : wait for another sequencer at work to end; else leave the work to it

        Raises
        ------
        CimError : the log folder or the keys folder cannot be written, as on a full disk.
        DatabaseError : nor can the database. Nothing is lost: the next run goes on.
        Conflict : the signer refuses the tree, which does not extend the one it signed last.
        """
        with told(), self.database.engine.connect() as connection:
            store = LogStore(connection)
            with nullcontext(True) if queue else store.exclusive_if_free() as ours:
                if ours:
                    sequence(store, self.publisher, wait)
                    add_up_parcels(connection)
        return self.tree_head()

    def lag(self) -> Lag:
        """Return how far the log is behind the city."""
        with self.database.reading() as connection:
            return history.lag(connection)

    def rebuild_log(self) -> TreeHead:
        """Write the published log again from the database; the folder must be gone.

        Raises
        ------
        Conflict : the folder is there, or the database's leaves are not the ones that were signed.
        """
        with told(), self.database.engine.connect() as connection:
            store = LogStore(connection)
            with store.exclusive():
                self.publisher.rebuild(store.heads(), store.hashes, store.entries)
        return self.tree_head()

    def export_log(self, folder: Path, *, geometry: bool = False) -> TreeHead:
        """Copy the published log to a new folder, and every geometry it names as `geometry/ab/SHA-256.wkb`.

        Raises
        ------
        NotFound : nothing was published yet. InvalidData : the folder exists.
        """
        log = LogFolder(self.settings.log_dir, self.publisher.signer.verifier)
        log.copy(folder)
        if geometry:
            with told(), self.database.engine.connect() as connection:
                for digest, wkb in LogStore(connection).geometries(log.checkpoint.size):
                    path = geometry_path(folder / "geometry", digest)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(wkb)
        return self.tree_head(log.checkpoint.size)

    def replay_log(
        self,
        folder: Path,
        *,
        geometry: Path | None = None,
        verifier: str | None = None,
        progress: Progress = lambda _done, _total: None,
    ) -> ReplayReport:
        """Make this city's database, which must be new, again from a published log that is checked whole first.

        Parameters
        ----------
        folder : the log; where it is not this city's own log folder it is copied there
        geometry : folder of geometry files as `export_log` writes them; default the folder's `geometry`
        verifier : the log's verifier key; default the one in this city's keys folder

        Raises
        ------
        InvalidProof, AuditFailed, NotFound : the folder is not a whole log, signed with the key.
        Conflict : the database is not new, another log is published here, or the signer remembers a larger log.
        InvalidData : no key, or the dictionary lacks a type or column that the log has.
        """
        log = LogFolder(folder, Verifier.from_text(verifier or self._own_verifier()))
        if (self.settings.keys_dir / KEY).exists():
            self.publisher.signer.check_known(log.checkpoint)
        log.check(progress)
        if folder.resolve() != self.settings.log_dir.resolve():
            if not self.settings.log_dir.exists():
                log.copy(self.settings.log_dir)
            elif TileReader(self.settings.log_dir).checkpoint() != log.text:
                raise Conflict(f"{self.settings.log_dir} holds another log, or another state of it; move it away first")
        with told(), self.database.engine.connect() as connection:
            report = replay(self.database, log, geometry or folder / "geometry", progress)
            add_up_parcels(connection, anew=True)
        return report

    def audit(self, *, full: bool = True, progress: Progress = lambda _done, _total: None) -> AuditReport:
        """Check that live rows, revisions, entries, tiles, root, checkpoint and signer record agree.

        Parameters
        ----------
        full : look at every leaf; else only at those after the last clean audit, which is remembered in CIM_HOME
        progress : called with (leaves done, leaves in all)
        """
        record = AuditRecord(self.settings.home / "audit", self.settings.origin)
        with told(), self.database.engine.connect() as connection:
            store = LogStore(connection)
            report = audit(store, self.publisher, None if full else record.read(), progress)
        if report.ok:
            record.write(report.tree)
        return report

    # ------------------------------------------------------------------ writing and computing

    def write(
        self, type_name: str, frame: pd.DataFrame, *, actor: str | None = None, reason: str | None = None
    ) -> WriteCounts:
        """Insert or update objects from a frame indexed by code; columns it lacks stay as they are.

        All or nothing, one transaction; rows that change nothing make no revision.

        Raises
        ------
        InvalidData : a column the type does not have, a code its scheme refuses, a value out of its limits.
        CrsError : the frame has no CRS, or one with no known path to the storage CRS.
        """
        from cim.db.write import write_frame

        return write_frame(self.database, type_name, frame, actor=actor, reason=reason)

    def mint(
        self, scheme: str, parent: str, count: int = 1, *, actor: str | None = None, reason: str | None = None
    ) -> list[str]:
        """Give out the next codes under a parent code, by the scheme's own numbering: buildings within their parcel.

        Each is given out once, whoever asks at the same time, and stays given whatever becomes of it: that is recorded
        before this returns.

        Raises
        ------
        NotFound : no such scheme. InvalidCode : the scheme does not number under such a parent.
        InvalidData : the scheme's codes are not for us to give. Conflict : the numbers have run out.
        """
        with self.database.writing(actor, reason) as connection:
            return mint(connection, self.database.dictionary, scheme, parent, count)

    def identify(self, rows: Sequence[Identifier], *, actor: str | None = None, reason: str | None = None) -> None:
        """Record other published identifiers of objects; a row of the same scheme, value and code is amended.

        Raises
        ------
        InvalidCode : a scheme of ours refuses its value. NotFound : no such type, or no object has the code.
        InvalidData : a row stands twice, or ends before it begins.
        """
        with self.database.writing(actor, reason) as connection:
            write_identifiers(connection, self.database.dictionary, rows)

    def supersede(
        self,
        type_name: str,
        links: Mapping[str, str | Sequence[str]],
        *,
        reason: str,
        day: date | None = None,
        evidence: str | None = None,
        actor: str | None = None,
    ) -> int:
        """End objects whose codes gave way to others, and record which; answer how many. All or nothing.

        A rename copies the object to its new code where that is not there yet. What a split or a merger makes must
        have been written before. What refers to an old code is moved to the new one; after a split somebody must have
        said before to which. Other identifiers go on with the new code. The old codes still resolve, and are never
        used again.

        Parameters
        ----------
        links : old code -> new code (several may name one: a merger), or a list of new codes (a split)
        day : since when the new codes hold; default today
        evidence : what proves it, such as the number of a decision; it is in the log for everyone to read

        Raises
        ------
        InvalidData : no reason, no links. InvalidCode : a new code the type's scheme refuses.
        NotFound : an old code was never recorded, or an object that is to take over is not there.
        Conflict : superseded already, both old and new, or something still names what is split.
        """
        if not reason.strip():
            raise InvalidData("a supersession needs a reason: it is recorded for good")
        with self.database.writing(actor, reason) as connection:
            return supersede(connection, self.database.dictionary, type_name, links, day=day, evidence=evidence)

    def scenario(self, scenario_id: str, /, **inputs: Any) -> dict[str, Any]:
        """Compute a scenario; the result carries its seal. `cim scenario list` names them."""
        return scenarios.run(self.database, scenario_id, inputs)

    # ------------------------------------------------------------------ housekeeping

    def status(self) -> dict[str, Any]:
        """Return where the database and the log are, their sizes, and how far the log is behind."""
        with self.database.reading() as connection:
            head = self._resolve(connection, None)
            lag = history.lag(connection)
            counts = history.counts(connection, self.database.metadata)
        return {
            "database": sa.make_url(self.database.url).render_as_string(hide_password=True),
            "log": str(self.settings.log_dir),
            "origin": self.settings.origin,
            "srid": self.settings.srid,
            "objects": counts,
            "tree_size": head.size,
            "tree_root": head.root.hex(),
            "unsequenced": lag.revisions,
            "oldest_unsequenced": lag.oldest.isoformat() if lag.oldest else None,
            "lag_seconds": round(lag.seconds, 3),
            "held_back_by": lag.held_back_by,
        }

    def close(self) -> None:
        """Close every connection; the embedded database stays up until `cim down`."""
        self.database.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _resolve(self, connection: sa.Connection, as_of: AsOf) -> TreeHead:
        return resolve(connection, as_of, self.settings.log_dir)

    def _live_head(self, connection: sa.Connection) -> TreeHead | None:
        """Return the head the live tables are at, or None where they are ahead of the log."""
        return None if connection.execute(history.LAG).one().revisions else self._resolve(connection, None)

    def _own_verifier(self) -> str:
        path = self.settings.keys_dir / VERIFIER
        if not path.is_file():
            raise InvalidData(f"no key: give the log's verifier key, or restore the keys folder (there is no {path})")
        return path.read_text(encoding="utf-8").strip()

    def _leaf_of(self, connection: sa.Connection, code: str, type_name: str | None, as_of: AsOf) -> StoredLeaf:
        size = None if as_of is None else self._resolve(connection, as_of).size
        parameters = {"types": self.database.dictionary.names(type_name), "code": code, "size": size}
        return history.only_leaf(code, connection.execute(history.LEAF_OF, parameters).all())

    def _type_of(self, connection: sa.Connection, code: str, type_name: str | None) -> str:
        if type_name is not None:
            return self.database.dictionary.type(type_name).name
        found = history.types_of(connection, code, list(self.database.dictionary.types))
        if not found:
            raise NotFound(f"no object has the code {code!r}")
        if len(found) > 1:
            raise Conflict(f"{code} is known to {', '.join(found)}; name the type")
        return found[0]


def connect(database_url: str | None = None, **settings: Any) -> City:
    """Open a city: a server by URL, else what the environment says, else the embedded database.

    Parameters
    ----------
    settings : any field of `cim.settings.Settings`, overriding the environment.
    """
    chosen = Settings.from_environment()
    if database_url is not None:
        settings["database_url"] = database_url
    return City(replace(chosen, **settings))
