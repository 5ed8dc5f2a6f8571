"""The deployment's signing key and its memory of the last tree head it signed.

Both lie in the keys folder, outside the database: a database restored from an old backup, or a second
deployment with the same key, then meets a signer that remembers, and gets no second history signed.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from cim.errors import CimError, Conflict, InvalidData, InvalidProof
from cim.log._files import locked, make_folder, write_files
from cim.log.checkpoint import Checkpoint
from cim.log.note import Signer, sign_note
from cim.log.tree import EMPTY_ROOT, verify_consistency

KEY = "log.key"
VERIFIER = "log.vkey"
LAST_SIGNED = "last-signed"
STAGING = ".staging"

Prove = Callable[[int, int], Sequence[bytes]]
"""(old size, new size) -> consistency proof, as `TileReader.consistency`."""


class LogSigner:
    """Signs checkpoints of one growing tree, and of no other.

    The first use makes the key (mode 0600), the verifier key beside it, and the record of the empty tree.

    Parameters
    ----------
    folder : the keys folder, made with mode 0700 when missing
    origin : name of the log

    Raises
    ------
    InvalidData : the key in the folder is another log's, is damaged, or is readable by other users.
    Conflict : there is a key but no record of what it signed.
    """

    def __init__(self, folder: Path, origin: str) -> None:
        self._folder = folder
        self._staging = folder / STAGING
        make_folder(folder, 0o700)
        make_folder(self._staging, 0o700)
        with locked(self._staging):
            if not (folder / KEY).exists():
                self._create(origin)
            self._signer = self._load(origin)
            self._read_record()
        self.origin = origin
        self.verifier = self._signer.verifier

    @property
    def last_signed(self) -> Checkpoint:
        """The greatest tree head signed so far; size 0 before the first."""
        return self._read_record()

    def sign(self, checkpoint: Checkpoint, prove: Prove) -> str:
        """Return the signed note of a checkpoint, after recording that it is signed.

        The record is durable before the signature exists, so no crash leaves a signature that is forgotten.
        Signing the last checkpoint again gives the same bytes.

        Parameters
        ----------
        checkpoint : tree head to sign
        prove : gives the consistency proof from the last signed size, asked for only when the tree has grown

        Raises
        ------
        Conflict : the tree is smaller than, or no extension of, the one last signed.
        InvalidData : the checkpoint is another log's.
        """
        if checkpoint.origin != self.origin:
            raise InvalidData(f"the key signs for {self.origin}, the checkpoint is of {checkpoint.origin}")
        with locked(self._staging):
            last = self._read_record()
            if checkpoint != last:
                _check_growth(last, checkpoint, prove)
                self._write(LAST_SIGNED, checkpoint.to_text(), 0o600)
            return sign_note(checkpoint.to_text(), [self._signer])

    def check_known(self, checkpoint: Checkpoint) -> None:
        """Check that a checkpoint is not older than, nor another than, what was signed last.

        Raises
        ------
        Conflict : it is.
        """
        last = self._read_record()
        if (checkpoint.size, checkpoint.root) != (last.size, last.root) and checkpoint.size <= last.size:
            raise Conflict(
                f"the checkpoint has size {checkpoint.size}, root {checkpoint.root.hex()}, but the last one signed has "
                f"size {last.size}, root {last.root.hex()}: it is an old copy, or of another history. Find the newest"
            )

    def _create(self, origin: str) -> None:
        """Make a key. It is written last: a crash before leaves none, and the next start makes a new one."""
        if (self._folder / LAST_SIGNED).exists() and self._read_record().size:
            raise Conflict(
                f"{self._folder} remembers a signed tree but {KEY} is gone; restore the folder. "
                "A new key needs a new folder, and its readers need to be told"
            )
        signer = Signer.generate(origin)
        self._write(LAST_SIGNED, Checkpoint(origin, 0, EMPTY_ROOT).to_text(), 0o600)
        self._write(VERIFIER, f"{signer.verifier.to_text()}\n", 0o644)
        self._write(KEY, f"{signer.to_text()}\n", 0o600)

    def _load(self, origin: str) -> Signer:
        path = self._folder / KEY
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise InvalidData(f"{path} can be read by other users (mode {mode:04o}); run `chmod 600` on it")
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            text = ""
        except OSError as error:
            raise CimError(f"{path} cannot be read: {error.strerror}; run as its owner") from error
        signer = Signer.from_text(text.removesuffix("\n"))
        if signer.verifier.name != origin:
            raise InvalidData(
                f"{path} is the key of {signer.verifier.name}, but this log is {origin}; "
                "set CIM_ORIGIN to the key's name or CIM_HOME to another folder"
            )
        return signer

    def _read_record(self) -> Checkpoint:
        path = self._folder / LAST_SIGNED
        try:
            return Checkpoint.from_text(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, InvalidProof) as error:
            raise Conflict(
                f"{path}, the record of the last signed tree, is missing or damaged ({error}); restore "
                "the newest backup of it, or write the three lines of the newest published checkpoint into it"
            ) from None

    def _write(self, name: str, text: str, mode: int) -> None:
        write_files(self._staging, [(self._folder / name, text.encode())], mode)


def _check_growth(last: Checkpoint, new: Checkpoint, prove: Prove) -> None:
    """Refuse a tree that is not the last signed one grown larger."""
    if new.size <= last.size:
        raise Conflict(_refusal(last, new))
    if last.size == 0:
        return
    try:
        verify_consistency(last.size, new.size, last.root, new.root, prove(last.size, new.size))
    except InvalidProof as error:
        raise Conflict(f"{_refusal(last, new)} ({error})") from None


def _refusal(last: Checkpoint, new: Checkpoint) -> str:
    return (
        f"refusing to sign {new.origin} at size {new.size}, root {new.root.hex()}: the last signed tree has "
        f"size {last.size}, root {last.root.hex()}, and this one does not extend it. Probable cause: the "
        "database was restored from an old backup, or a second deployment uses the same key. "
        "Run `cim log audit`"
    )
