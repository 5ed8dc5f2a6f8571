"""Verify a .tlog-proof file: that a city's change log contains the entry in it.

    python3 verify_tlog_proof.py PROOF KEY

PROOF is the file; KEY is the log's verifier key (name+id+base64), or a file that holds it. Take the key from a
place you trust: whoever gives you both the proof and the key can prove anything.

Exit code 0: verified, and the entry is printed. 2: wrong usage. 3: refused, and the reason is printed.

This is the whole program: Python 3.9 or newer, its standard library, no network. It works in four steps, in `verify`:

1. take the proof file apart: the entry, its index in the log, hashes, and the log's signed checkpoint;
2. check that the key signed the checkpoint, which states the log's size and the root hash of its Merkle tree;
3. compute the root from the entry, its index and the hashes, and compare: any change to the entry, or to its place,
   gives another root, and nobody can find an entry for a given root;
4. read the entry, in the one spelling that its format allows, so that two readers cannot see two things.

Formats: https://c2sp.org/tlog-proof, https://c2sp.org/tlog-checkpoint, https://c2sp.org/signed-note, RFC 8785 (the
entry), RFC 6962 and RFC 9162 (the tree), RFC 8032 (the signature).
"""

from __future__ import annotations

import base64
import io
import json
import math
import sys
from decimal import Decimal
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any, NoReturn

MAX_SIZE = 2**63 - 1  # leaves in a log
MAX_NOTE = 1_000_000  # bytes in a signed checkpoint
MAX_SIGNATURES = 100


class Refused(Exception):
    """The proof does not hold; the text says why."""


def refuse(reason: str) -> NoReturn:
    """Stop here: the proof does not hold."""
    raise Refused(reason)


def verify(proof: bytes, key: str) -> dict[str, Any]:
    """Return what the log says (origin, index, size, root, entry), or raise Refused."""
    key_name, key_id, public_key = read_key(key)
    index, hashes, data, note = read_proof(proof)
    checkpoint = open_note(note, key_name, key_id, public_key)
    origin, size, root = read_checkpoint(checkpoint)
    if origin != key_name:
        refuse(f"the checkpoint is of the log {origin!r}, the key is of {key_name!r}")
    if root_from_path(index, size, sha256(b"\x00" + data).digest(), hashes) != root:
        refuse("the entry and the hashes do not lead to the root that the log signed: one of them was changed")
    return {"origin": origin, "index": index, "size": size, "root": root.hex(), "entry": read_entry(data)}


# ------------------------------------------------- step 1: the proof file


def read_proof(proof: bytes) -> tuple[int, list[bytes], bytes, str]:
    """Take a proof file apart: index, hashes, the entry's bytes, the signed checkpoint.

    A header, `extra` with the entry in base64, `index N`, a hash in base64 on each further line, an empty line,
    and then the checkpoint.
    """
    try:
        text = proof.decode("utf-8")
    except UnicodeDecodeError:
        refuse("the proof file is not UTF-8 text")
    if any(character < " " and character != "\n" for character in text):
        refuse("the proof file holds control characters; a transfer that rewrites line ends would do that")
    head, empty_line, note = text.partition("\n\n")
    lines = head.split("\n")
    if lines[0] != "c2sp.org/tlog-proof@v1" or not empty_line:
        refuse("this is no proof file: its first line must be c2sp.org/tlog-proof@v1")
    if len(lines) < 3 or not lines[1].startswith("extra ") or not lines[2].startswith("index "):
        refuse("the proof file must hold a line 'extra …' with its entry and then a line 'index N'")
    index = read_decimal(lines[2][len("index ") :])
    return index, [read_base64(line, 32) for line in lines[3:]], read_base64(lines[1][len("extra ") :]), note


def read_decimal(text: str) -> int:
    """Read a number without sign, spaces or leading zeros."""
    if not (text.isascii() and text.isdigit() and len(text) < 20 and str(int(text)) == text and int(text) <= MAX_SIZE):
        refuse(f"expected a number up to {MAX_SIZE} without leading zeros, got {text[:40]!r}")
    return int(text)


def read_base64(text: str, length: int | None = None) -> bytes:
    """Decode base64 that is spelled as an encoder would spell it."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if base64.b64encode(data).decode() != text or length not in (None, len(data)):
        refuse(f"expected base64 of {'some' if length is None else length} bytes, got {text[:60]!r}")
    return data


# ------------------------------------------------- step 2: the key and the signed checkpoint


def read_key(text: str) -> tuple[str, bytes, bytes]:
    """Take a verifier key apart: the log's name, the key's id, and the Ed25519 public key of 32 bytes."""
    name, _, rest = text.partition("+")
    key = read_base64(rest.partition("+")[2], 33)
    if not is_name(name) or key[:1] != b"\x01":  # 1 is the type of Ed25519
        refuse("the verifier key must be name+id+base64 of an Ed25519 key")
    key_id = sha256(name.encode() + b"\n" + key).digest()[:4]
    if rest.partition("+")[0] != key_id.hex():
        refuse(f"the verifier key was changed: the id of this key is {key_id.hex()}")
    return name, key_id, key[1:]


def is_name(name: str) -> bool:
    """Tell whether a log or a key may have this name."""
    return bool(name) and not any(c == "+" or c.isspace() or c < " " or "\ud800" <= c <= "\udfff" for c in name)


def open_note(note: str, key_name: str, key_id: bytes, public_key: bytes) -> str:
    """Return the text of a signed note: everything before the last empty line, which the key must have signed.

    After it come lines of an em dash, a key's name, and base64 of the key's id and signature. Other keys may sign
    too (witnesses do); their signatures must have the right form and are otherwise passed over.
    """
    if len(note.encode()) > MAX_NOTE:
        refuse(f"a signed checkpoint has at most {MAX_NOTE} bytes")
    text, empty_line, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    if not (text and empty_line and lines.pop() == "" and 0 < len(lines) <= MAX_SIGNATURES):
        refuse("a signed checkpoint is text, an empty line, and 1 to 100 lines of signatures")
    text += "\n"
    signed = False
    for line in lines:
        name, _, encoded = line[2:].partition(" ")
        signature = read_base64(encoded)
        if line[:2] != "— " or not is_name(name) or len(signature) < 5:
            refuse(f"a signature line is an em dash, a name and base64, got {line[:80]!r}")
        if (name, signature[:4]) == (key_name, key_id):
            if not ed25519_verify(public_key, text.encode(), signature[4:]):
                refuse("the log's signature is wrong: the checkpoint was changed, or another key signed it")
            signed = True
    if not signed:
        refuse(f"the key {key_name}+{key_id.hex()} did not sign the checkpoint")
    return text


def read_checkpoint(text: str) -> tuple[str, int, bytes]:
    """Take a checkpoint apart: the log's name, its number of entries, and its root hash, a line each."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not is_name(lines[0]):
        refuse("a checkpoint has three lines: the log's name, its size and its root hash")
    size, root = read_decimal(lines[1]), read_base64(lines[2], 32)
    if (size == 0) != (root == sha256(b"").digest()):
        refuse("an empty log, and no other, has the hash of nothing as its root")
    return lines[0], size, root


# ------------------------------------------------- step 3: the Merkle tree


def root_from_path(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes:
    """Compute the root of a tree of `size` leaves from one leaf and its siblings on the way up (RFC 9162, 2.1.3.2).

    `position` is the node's place in its level and `last` the place of the level's last node. A node at an odd place
    has its sibling at the left. A last node at an even place has none in its level, and rises until it has one.
    """
    if index >= size:
        refuse(f"the log has {size} entries, and so none with index {index}")
    node, position, last = leaf, index, size - 1
    for sibling in path:
        if last == 0:
            refuse("the proof holds too many hashes")
        if position % 2 == 1 or position == last:
            node = sha256(b"\x01" + sibling + node).digest()
            while position % 2 == 0 and position > 0:
                position, last = position // 2, last // 2
        else:
            node = sha256(b"\x01" + node + sibling).digest()
        position, last = position // 2, last // 2
    if last != 0:
        refuse("the proof holds too few hashes")
    return node


# ------------------------------------------------- step 4: the entry


def read_entry(data: bytes) -> dict[str, Any]:
    """Read an entry: a JSON object of version 1, in the only spelling that RFC 8785 gives it."""
    try:
        entry = json.loads(data.decode("utf-8"))
        canonical = canonical_json(entry).encode("utf-8")
    except (ValueError, RecursionError) as error:
        refuse(f"the entry is not canonical JSON: {error}")
    if not isinstance(entry, dict) or canonical != data or type(entry.get("v")) is not int or entry["v"] != 1:
        refuse("the entry is not a JSON object of version 1 in the spelling of RFC 8785")
    return entry


def canonical_json(value: Any) -> str:
    """Write JSON as RFC 8785 does: no spaces, keys in the order of their UTF-16 code units, JavaScript's numbers."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        members = [json.dumps(key, ensure_ascii=False) + ":" + canonical_json(value[key]) for key in keys]
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical_json, value)) + "]"
    if isinstance(value, float):
        return canonical_number(value)
    if isinstance(value, int) and abs(value) >= 2**53:
        refuse("the entry holds an integer of which JSON readers may see another")
    return json.dumps(value, ensure_ascii=False)  # text, true, false, null, integers


def canonical_number(value: float) -> str:
    """Write a double as JavaScript does; Python finds the same shortest digits, but places the point differently."""
    if not math.isfinite(value):
        refuse("the entry holds a number that is none")
    digits = "".join(map(str, Decimal(repr(abs(value))).normalize().as_tuple().digits))
    point = Decimal(repr(value)).adjusted() + 1  # so many digits stand before the decimal point
    if value == 0:
        return "0"
    if len(digits) <= point <= 21:
        text = digits + "0" * (point - len(digits))
    elif 0 < point <= 21:
        text = digits[:point] + "." + digits[point:]
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        text = digits[0] + ("." + digits[1:] if digits[1:] else "") + f"e{point - 1:+d}"
    return "-" + text if value < 0 else text


# ------------------------------------------------- the signature: Ed25519 (RFC 8032, 5.1)
# Points of the curve -x² + y² = 1 + d·x²·y² over the integers modulo P, as (X, Y, Z, T) with x = X/Z, y = Y/Z and
# T = X·Y/Z, so that adding needs no division.

Point = tuple[int, int, int, int]

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493  # of the base point
D = -121665 * pow(121666, -1, P) % P
ZERO: Point = (0, 1, 1, 0)


def ed25519_verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether the signature (R, s) is the key's (A): s·B = R + h·A, where h = SHA-512(R, A, message)."""
    if len(signature) != 64:
        return False
    key, s = decode_point(public_key), int.from_bytes(signature[32:], "little")
    if key is None or s >= ORDER:
        return False
    h = int.from_bytes(sha512(signature[:32] + public_key + message).digest(), "little") % ORDER
    x, y, z, t = key
    return encode_point(add(times(s, BASE), times(h, (-x, y, z, -t)))) == signature[:32]


def add(one: Point, other: Point) -> Point:
    """Add two points (RFC 8032, 5.1.4)."""
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * D * t1 * t2 % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number: int, point: Point) -> Point:
    """Add a point to itself, doubling for each bit of the number."""
    result = ZERO
    while number > 0:
        if number % 2 == 1:
            result = add(result, point)
        point, number = add(point, point), number // 2
    return result


def encode_point(point: Point) -> bytes:
    """Write y in 255 bits, little-endian, and the lowest bit of x in the last one (RFC 8032, 5.1.2)."""
    x, y, z, _ = point
    inverse = pow(z, -1, P)
    return (y * inverse % P | (x * inverse % P % 2) << 255).to_bytes(32, "little")


def decode_point(data: bytes) -> Point | None:
    """Read what `encode_point` writes; None where it is no point (RFC 8032, 5.1.3)."""
    number = int.from_bytes(data, "little")
    odd, y = number >> 255, number % 2**255
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P  # x²
    x = pow(square, (P + 3) // 8, P)  # a root of ±x²
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P  # times a root of -1
    if x * x % P != square or (x == 0 and odd):
        return None
    if x % 2 != odd:
        x = P - x
    return x, y, 1, x * y % P


BASE = decode_point((4 * pow(5, -1, P) % P).to_bytes(32, "little")) or ZERO  # y = 4/5, x even


# ------------------------------------------------- the command


def printable(text: str) -> str:
    """Spell out characters that could make a terminal show something else than what is there."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def main(arguments: list[str]) -> int:
    """Verify the proof file of the first argument with the key of the second; return the exit code."""
    if len(arguments) != 2:
        print("usage: python3 verify_tlog_proof.py PROOF KEY", file=sys.stderr)
        return 2
    path, key = arguments
    try:
        if Path(key).is_file():
            key = Path(key).read_text(encoding="utf-8").strip()
        proved = verify(Path(path).read_bytes(), key)
    except (OSError, UnicodeDecodeError, Refused) as error:
        print(f"REFUSED: {printable(str(error))}", file=sys.stderr)
        return 3
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for terminals that cannot show Chinese
    print("VERIFIED")
    print(printable(f"log    {proved['origin']}"))
    print(f"entry  {proved['index']} (counted from 0) of {proved['size']}")
    print(f"root   {proved['root']}")
    print(printable(json.dumps(proved["entry"], ensure_ascii=False, indent=2)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
