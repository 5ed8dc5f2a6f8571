"""Checkpoint bodies: the published example, and every spelling that is not the one."""

from __future__ import annotations

import pytest

from cim.errors import InvalidData, InvalidProof
from cim.log.checkpoint import Checkpoint, open_checkpoint
from cim.log.note import Signer, sign_note
from cim.log.tree import EMPTY_ROOT

# https://c2sp.org/tlog-checkpoint
ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
EXAMPLE = f"example.com/behind-the-sofa\n20852163\n{ROOT}\n"

LOG = Signer("example.com/behind-the-sofa", bytes(32))
WITNESS = Signer("witness.example", bytes(range(32)))


def test_the_published_example_reads_and_writes_back() -> None:
    checkpoint = Checkpoint.from_text(EXAMPLE)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.root.hex() == "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"
    assert checkpoint.to_text() == EXAMPLE


def test_the_empty_tree_has_a_checkpoint() -> None:
    text = "a\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    assert Checkpoint("a", 0, EMPTY_ROOT).to_text() == text
    assert Checkpoint.from_text(text) == Checkpoint("a", 0, EMPTY_ROOT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        EXAMPLE[:-1],
        EXAMPLE + "\n",
        EXAMPLE + "extension\n",
        "\n" + EXAMPLE,
        f"\n1\n{ROOT}\n",
        f"a b\n1\n{ROOT}\n",
        f"a+b\n1\n{ROOT}\n",
        *(f"a\n{size}\n{ROOT}\n" for size in ("", "01", "+1", "-1", " 1", "1 ", "1_0", "1e3", "0x1", "１", "²")),
        f"a\n{2**63}\n{ROOT}\n",
        f"a\n{'9' * 5000}\n{ROOT}\n",
        f"a\n0\n{ROOT}\n",  # the empty tree has another root
        "a\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",  # the empty tree's root at size 1
        *(f"a\n1\n{root}\n" for root in ("", ROOT[:-1], ROOT.replace("2I=", "2J="), ROOT[4:], ROOT + "=")),
        f"a\n1\n {ROOT}\n",
        f"a\n1\n{ROOT.replace('/', '_')}\n",
    ],
    ids=lambda text: ascii(text)[:60],
)
def test_a_body_of_any_other_spelling_is_refused(text: str) -> None:
    with pytest.raises(InvalidProof):
        Checkpoint.from_text(text)


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [
        ("", 1, b"x" * 32),
        ("a", -1, b"x" * 32),
        ("a", 2**63, b"x" * 32),
        ("a", 1, b"x" * 31),
        ("a", 0, b"x" * 32),
    ],
)
def test_a_checkpoint_that_cannot_be_is_not_made(origin: str, size: int, root: bytes) -> None:
    with pytest.raises(InvalidData):
        Checkpoint(origin, size, root)


def test_the_log_s_own_signature_is_demanded() -> None:
    signed = sign_note(EXAMPLE, [LOG, WITNESS])
    assert open_checkpoint(signed, [LOG.verifier, WITNESS.verifier]) == Checkpoint.from_text(EXAMPLE)
    with pytest.raises(InvalidProof, match="no key was given"):
        open_checkpoint(signed, [WITNESS.verifier])
    with pytest.raises(InvalidProof, match="no signature of a known key"):
        open_checkpoint(sign_note(EXAMPLE, [WITNESS]), [LOG.verifier, WITNESS.verifier])
