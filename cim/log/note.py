"""Signed notes: text with Ed25519 signatures, as Go's x/mod/sumdb/note writes and reads them.

Source
------
C2SP signed-note. https://c2sp.org/signed-note
Go, package note. https://pkg.go.dev/golang.org/x/mod/sumdb/note
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cim.errors import InvalidData, InvalidProof
from cim.log._text import read_base64, read_utf8, write_base64

ED25519 = b"\x01"  # signature type, C2SP signed-note "Signature types"
MARK = "— "  # em dash and space open a signature line
MAX_NOTE = 1_000_000  # bytes; the limit of Go's package
MAX_SIGNATURES = 100


def check_name(name: str) -> str:
    """Return the key name if it may stand in a note: not empty, no Unicode space, plus or control character.

    Raises
    ------
    InvalidData : it may not.
    """
    if not name or "+" in name or any(c.isspace() or c < " " or "\ud800" <= c <= "\udfff" for c in name):
        raise InvalidData(f"key name must be a URL without scheme, without spaces and '+', got {name!r}")
    return name


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key under a name.

    Attributes
    ----------
    name : key name; for a log, its origin
    public_key : 32 bytes, RFC 8032
    """

    name: str
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        """First four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public_key).digest()[:4]

    def to_text(self) -> str:
        """Write the verifier key: name+key id in hex+base64(0x01 ‖ public key)."""
        return f"{self.name}+{self.key_id.hex()}+{write_base64(ED25519 + self.public_key)}"

    @classmethod
    def from_text(cls, text: str) -> Verifier:
        """Read a verifier key.

        Raises
        ------
        InvalidData : not of the form, not an Ed25519 key, or the key id is not that of the key.
        """
        name, public_key = _read_key(text, "verifier key")
        verifier = cls(name, public_key)
        if verifier.to_text() != text:
            raise InvalidData(f"verifier key of {name}: its id must be {verifier.key_id.hex()}, got {text!r}")
        return verifier

    def accepts(self, text: str, signature: bytes) -> bool:
        """Tell whether the 64-byte signature over the text is this key's."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


class Signer:
    """A private key under a name.

    Attributes
    ----------
    verifier : its public half
    """

    _PREFIX = "PRIVATE+KEY+"

    def __init__(self, name: str, seed: bytes) -> None:
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(check_name(name), self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, name: str) -> Signer:
        """Make a new random key.

        Raises
        ------
        InvalidData : the name may not stand in a note.
        """
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    def to_text(self) -> str:
        """Write the private key: PRIVATE+KEY+name+key id in hex+base64(0x01 ‖ seed). Keep it secret."""
        verifier = self.verifier
        return f"{self._PREFIX}{verifier.name}+{verifier.key_id.hex()}+{write_base64(ED25519 + self._seed)}"

    @classmethod
    def from_text(cls, text: str) -> Signer:
        """Read what `to_text` or Go's note.GenerateKey wrote.

        Raises
        ------
        InvalidData : not of the form; the message never repeats the key.
        """
        if not text.startswith(cls._PREFIX):
            raise InvalidData(f"private key: expected text that starts with {cls._PREFIX}")
        name, seed = _read_key(text.removeprefix(cls._PREFIX), "private key")
        signer = cls(name, seed)
        if signer.to_text() != text:
            raise InvalidData(f"private key of {name}: its key id is not that of the key; restore it from a backup")
        return signer

    def sign(self, text: str) -> str:
        """Return the signature line of the text, without newline."""
        signature = self.verifier.key_id + self._key.sign(text.encode())
        return f"{MARK}{self.verifier.name} {write_base64(signature)}"


def _read_key(text: str, what: str) -> tuple[str, bytes]:
    """Split name+id+base64(0x01 ‖ key); the caller compares the id. Errors do not repeat the secret."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        key = read_base64(encoded, what, 33)
    except InvalidProof:
        key = b""
    if len(key_id) != 8 or not key.startswith(ED25519):
        raise InvalidData(f"{what}: expected name+8 hex digits+base64 of an Ed25519 key in one line")
    return check_name(name), key[1:]


def sign_note(text: str, signers: Iterable[Signer]) -> str:
    """Return the note: the text, a blank line, one signature line for each signer.

    Raises
    ------
    InvalidData : the text does not end in a newline or holds other control characters.
    """
    if not text.endswith("\n") or any(c < " " and c != "\n" for c in text):
        raise InvalidData("the text of a note must end in a newline and hold no other control character")
    return text + "\n" + "".join(f"{signer.sign(text)}\n" for signer in signers)


def open_note(note: str | bytes, verifiers: Sequence[Verifier]) -> str:
    """Return the text of a note that at least one of the verifiers signed; unknown keys are ignored.

    Raises
    ------
    InvalidProof : malformed, or no known key signed it, or the signature of a known key is wrong.
    """
    text, signatures = split_note(note)
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    verified = False
    for name, key_id, signature in signatures:
        verifier = known.get((name, key_id))
        if verifier is None:
            continue
        if not verifier.accepts(text, signature):
            raise InvalidProof(f"the signature of {name} is wrong: the text was changed, or another key made it")
        verified = True
    if not verified:
        expected = ", ".join(verifier.to_text() for verifier in verifiers) or "no key"
        found = ", ".join(f"{name}+{key_id.hex()}" for name, key_id, _ in signatures)
        raise InvalidProof(f"no signature of a known key: known {expected}; signed by {found}")
    return text


def split_note(note: str | bytes) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """Split a note into its text and its signatures (key name, key id, signature), none of them verified.

    Raises
    ------
    InvalidProof : not of the form of a signed note.
    """
    whole = read_utf8(note, "signed note")
    if (size := len(whole.encode())) > MAX_NOTE:
        raise InvalidProof(f"a signed note has at most {MAX_NOTE} bytes, got {size}")
    text, blank, tail = whole.rpartition("\n\n")
    lines = tail.split("\n")
    if not (blank and text and lines.pop() == "" and lines):
        raise InvalidProof("a signed note is text, a blank line, and signature lines that end in a newline")
    if len(lines) > MAX_SIGNATURES:
        raise InvalidProof(f"a signed note has at most {MAX_SIGNATURES} signatures, got {len(lines)}")
    return text + "\n", [_read_signature(line) for line in lines]


def _read_signature(line: str) -> tuple[str, bytes, bytes]:
    name, space, encoded = line.removeprefix(MARK).partition(" ")
    try:
        check_name(name)
    except InvalidData:
        name = ""
    if not (name and space and line.startswith(MARK)):
        raise InvalidProof(f"a signature line is an em dash, a key name and base64, got {line[:80]!r}")
    signature = read_base64(encoded, f"signature of {name}")
    if len(signature) < 5:
        raise InvalidProof(f"signature of {name}: expected a key id and a signature, got {len(signature)} bytes")
    return name, signature[:4], signature[4:]
