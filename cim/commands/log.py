"""`cim log checkpoint | prove | verify | disclose | erase | audit | rebuild | export | replay`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from cim.commands import _files
from cim.commands._open import open_city
from cim.commands.objects import AsOf, Code, TypeName, state
from cim.errors import AuditFailed, InvalidData
from cim.log import disclosure as disclosures
from cim.log.checkpoint import Checkpoint
from cim.log.disclosure import verify_disclosure
from cim.log.folder import LogFolder
from cim.log.note import Verifier
from cim.log.proof import SUFFIX
from cim.log.signer import KEY, VERIFIER
from cim.log.standalone import copy_verifiers
from cim.log.verify import verify_proof
from cim.output import AsJson, print_json, print_pairs, progress_bar
from cim.settings import Settings

Key = Annotated[str | None, typer.Option("--key", help="Verifier key of the log, or a file that holds it.")]

group = typer.Typer(help="The change log: checkpoints, proofs, audit.", no_args_is_help=True)


@group.command()
def checkpoint() -> None:
    """Sequence what is committed and print the signed checkpoint."""
    with open_city() as city:
        city.sequence()
        typer.echo(city.checkpoint(), nl=False)
        lag = city.lag()
    if lag.revisions:
        typer.echo(f"not under this checkpoint: {lag}", err=True)


@group.command()
def prove(
    code: Code,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; default CODE.tlog-proof.")] = None,
    type_name: TypeName = None,
    as_of: AsOf = None,
) -> None:
    """Write a proof of an object's revision that anyone can verify offline."""
    path = out or Path(f"{code.replace('/', '_')}{SUFFIX}")
    with open_city() as city:
        city.sequence()
        text = city.proof(code, type_name=type_name, as_of=state(as_of))
    _files.write(path, text.encode())
    typer.echo(str(path))


@group.command()
def verify(
    proof: Annotated[Path, typer.Argument(metavar="FILE", help="A .tlog-proof file; with --disclosure, a disclosure.")],
    key: Key = None,
    disclosure: Annotated[bool, typer.Option("--disclosure", help="FILE discloses a private value.")] = False,
    log: Annotated[
        Path | None, typer.Option("--log", help="Published log that must still hold what was signed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify a proof; needs neither database nor network. Exit code 3 where it does not verify."""
    disclosed: dict[str, Any] = {}
    if disclosure:
        value = verify_disclosure(_files.read(proof), _key(key))
        verified, disclosed = value.entry, {"disclosed": {value.field: value.value}}
    else:
        verified = verify_proof(_files.read(proof), _key(key))
    if log is not None:
        signed = Checkpoint(verified.origin, verified.size, verified.root)
        LogFolder(log, Verifier.from_text(_key(key))).check_extends(signed)
    result: dict[str, Any] = {
        "verified": True,
        **disclosed,
        "origin": verified.origin,
        "index": verified.index,
        "tree_size": verified.size,
        "tree_root": verified.root.hex(),
        "entry": verified.entry,
    }
    if as_json:
        print_json(result)
    else:
        entry = result.pop("entry")
        print_pairs(result | {f"  {name}": value for name, value in entry.items()})


@group.command()
def disclose(
    code: Code,
    field: Annotated[str, typer.Argument(help="Private field.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write.")] = None,
    actor: Annotated[str | None, typer.Option(help="Who wants it; recorded beside the database user.")] = None,
    type_name: TypeName = None,
    as_of: AsOf = None,
) -> None:
    """Write a private value with what proves it, for whoever may know it; default file CODE.FIELD.cim-disclosure.

    `cim keys reads` lists who did.
    """
    path = out or Path(f"{code.replace('/', '_')}.{field}{disclosures.SUFFIX}")
    with open_city() as city:
        city.sequence()
        text = city.disclose(code, field, type_name=type_name, as_of=state(as_of), actor=actor)
    _files.write(path, text.encode(), private=True)
    typer.echo(str(path))


@group.command()
def erase(
    code: Code,
    reason: Annotated[str, typer.Option(help="Why; recorded for good, so without personal data.")],
    fields: Annotated[list[str] | None, typer.Argument(metavar="[FIELD]...", help="Default: all.")] = None,
    actor: Annotated[str | None, typer.Option(help="Who; default the database user.")] = None,
    type_name: TypeName = None,
    as_json: AsJson = False,
) -> None:
    """Erase private values of an object, in all its revisions, and log that; proofs stay valid.

    Backups of the database, source files and rejected records are not reached.
    """
    with open_city() as city:
        erased = city.erase(code, fields or [], reason=reason, actor=actor, type_name=type_name)
        head = city.sequence()
    result = {
        "type": erased.type,
        "code": erased.code,
        "fields": list(erased.fields),
        "values": erased.values,
        "tree_size": head.size,
    }
    if as_json:
        print_json(result)
    else:
        print_pairs(result | {"fields": ", ".join(erased.fields)})


def _key(key: str | None) -> str:
    """Return the verifier key: as given, from the file given, or this deployment's own."""
    path = key if key is not None else str(Settings.from_environment().keys_dir / VERIFIER)
    if _files.is_file(path):
        return _files.read_text(Path(path)).strip()
    if key is None:
        raise InvalidData(f"no key: give the log's verifier key with --key (this deployment has none at {path})")
    return key


@group.command()
def audit(
    full: Annotated[
        bool, typer.Option("--full", help="All leaves, not only those since the last clean audit.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check that rows, revisions, entries, tiles, root, checkpoint and signer agree; exit code 7 where not.

    Without --full, what the last clean audit saw in revisions, entries and bundles is not looked at again.
    """
    with open_city() as city, progress_bar("auditing leaves") as progress:
        report = city.audit(full=full, progress=progress)
    result: dict[str, Any] = {
        "ok": report.ok,
        "tree_size": report.size,
        "tree_root": report.root.hex(),
        "first_leaf": report.first,
        "unsequenced": report.unsequenced,
        "findings": [str(finding) for finding in report.findings],
    }
    if as_json:
        print_json(result)
    else:
        for finding in result.pop("findings"):
            typer.echo(finding)
        print_pairs(result)
    if not report.ok:
        raise AuditFailed(f"the audit found {len(report.findings)} disagreements")


@group.command()
def rebuild() -> None:
    """Write the published log again from the database, byte for byte; move the old folder away first."""
    with open_city() as city:
        head = city.rebuild_log()
    typer.echo(f"tree size {head.size}, root {head.root.hex()}")


@group.command("export")
def export_log(
    folder: Annotated[Path, typer.Argument(help="Folder to make; must not exist.")],
    geometry: Annotated[bool, typer.Option("--geometry", help="With every geometry, as a WKB file.")] = False,
) -> None:
    """Copy the published log to a folder that anyone can serve or check, with its key and verifiers for proofs."""
    settings = Settings.from_environment()
    with open_city(settings) as city:
        city.sequence()
        with _files.written(folder):
            city.export_log(folder, geometry=geometry)
            shutil.copy(settings.keys_dir / VERIFIER, folder / VERIFIER)
            copy_verifiers(folder)
    typer.echo(str(folder))


@group.command()
def replay(
    folder: Annotated[Path, typer.Argument(help="A published log, as `cim log export` writes it.")],
    geometry: Annotated[Path | None, typer.Option(help="Folder of WKB files; default FOLDER/geometry.")] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Make a new database from a published log alone, and say what it does not hold.

    The log is checked whole first. It goes on where it stood once the keys folder is restored, too.
    """
    settings = Settings.from_environment()
    with open_city(settings) as city, progress_bar("replaying leaves") as progress:
        report = city.replay_log(folder, geometry=geometry, verifier=_key(key), progress=progress)
    losses = report.losses()
    if not (settings.keys_dir / KEY).exists():
        losses.append(f"the signing key: restore {settings.keys_dir}, or nothing more can be signed")
    result = {
        "tree_size": report.size,
        "tree_root": report.root.hex(),
        "objects": report.objects,
        "not_restored": losses,
    }
    if as_json:
        print_json(result)
        return
    for loss in losses:
        typer.echo(f"not restored: {loss}")
    objects = ", ".join(f"{count} {name}" for name, count in report.objects.items() if count)
    print_pairs({k: v for k, v in result.items() if k != "not_restored"} | {"objects": objects})


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="log")
