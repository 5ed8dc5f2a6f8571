"""Signed notes, against the example that Go's x/mod/sumdb/note prints in its documentation."""

from __future__ import annotations

import pytest

from cim.errors import InvalidData, InvalidProof
from cim.log.note import Signer, Verifier, open_note, sign_note, split_note

# https://pkg.go.dev/golang.org/x/mod/sumdb/note, examples of Sign and Open.
GO_VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
GO_NOTE = f"{GO_TEXT}\n— PeterNeumann {GO_SIGNATURE}\n"
# The key of Go's public checksum database, https://sum.golang.org
SUM_GOLANG_ORG = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

SIGNER = Signer("example.org/log", bytes(range(32)))
OTHER = Signer("example.org/witness", bytes(range(1, 33)))


def test_go_s_note_is_signed_to_the_same_bytes() -> None:
    assert sign_note(GO_TEXT, [Signer.from_text(GO_SIGNER)]) == GO_NOTE


def test_go_s_note_opens_with_go_s_key() -> None:
    assert open_note(GO_NOTE, [Verifier.from_text(GO_VERIFIER)]) == GO_TEXT
    assert open_note(GO_NOTE.encode(), [Verifier.from_text(GO_VERIFIER)]) == GO_TEXT


@pytest.mark.parametrize("text", [GO_VERIFIER, SUM_GOLANG_ORG])
def test_public_keys_read_and_write_back(text: str) -> None:
    assert Verifier.from_text(text).to_text() == text


def test_a_new_key_reads_back_and_signs_alike() -> None:
    signer = Signer.generate("example.org/log")
    again = Signer.from_text(signer.to_text())
    assert again.verifier == signer.verifier
    assert again.sign("x\n") == signer.sign("x\n")
    assert Signer.generate("example.org/log").verifier != signer.verifier


def test_several_sign_and_each_verifier_accepts() -> None:
    note = sign_note("text\n", [SIGNER, OTHER])
    for known in ([SIGNER.verifier], [OTHER.verifier], [SIGNER.verifier, OTHER.verifier]):
        assert open_note(note, known) == "text\n"


def test_unknown_keys_are_ignored() -> None:
    stranger = Signer.generate("stranger.example")
    note = sign_note("text\n", [stranger, SIGNER])
    assert open_note(note, [SIGNER.verifier]) == "text\n"


def test_a_note_without_a_known_key_is_refused() -> None:
    with pytest.raises(InvalidProof, match="no signature of a known key"):
        open_note(sign_note("text\n", [OTHER]), [SIGNER.verifier])
    with pytest.raises(InvalidProof, match="no signature of a known key"):
        open_note(sign_note("text\n", [OTHER]), [])


def test_a_key_of_the_same_name_but_another_id_is_unknown() -> None:
    namesake = Signer.generate(SIGNER.verifier.name)
    with pytest.raises(InvalidProof, match="no signature of a known key"):
        open_note(sign_note("text\n", [namesake]), [SIGNER.verifier])


def test_one_wrong_signature_of_a_known_key_spoils_the_note() -> None:
    good, bad = SIGNER.sign("text\n"), SIGNER.sign("other text\n")
    for lines in ([good, bad], [bad, good], [bad, OTHER.sign("text\n")]):
        note = "text\n\n" + "".join(f"{line}\n" for line in lines)
        with pytest.raises(InvalidProof, match=r"signature of example\.org/log is wrong"):
            open_note(note, [SIGNER.verifier, OTHER.verifier])


def test_the_last_blank_line_ends_the_text() -> None:
    text = "one\n\ntwo\n\n\nthree\n"
    assert open_note(sign_note(text, [SIGNER]), [SIGNER.verifier]) == text


def test_a_signature_that_is_too_short_or_too_long_is_refused() -> None:
    name, key_id, signature = split_note(sign_note("text\n", [SIGNER]))[1][0]
    assert (name, len(key_id), len(signature)) == ("example.org/log", 4, 64)
    verifier = SIGNER.verifier
    assert verifier.accepts("text\n", signature)
    assert not verifier.accepts("text\n", signature[:-1])
    assert not verifier.accepts("text\n", signature + b"\0")


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n\n",
        GO_TEXT,
        GO_NOTE[:-1],
        GO_NOTE + "\n",
        GO_NOTE + "trailing\n",
        GO_NOTE.replace("\n", "\r\n"),
        GO_NOTE.replace("— ", "- "),
        GO_NOTE.replace("— PeterNeumann", "—  PeterNeumann"),
        GO_NOTE.replace(" x08", "  x08"),
        GO_NOTE.replace("nAM=", "nAM"),
        GO_NOTE.replace("nAM=", "nAN="),  # the same bytes, other spare bits
        GO_NOTE.replace("nAM=", "nAM=="),
        GO_NOTE.replace("x08go", "x08-o"),
        f"{GO_TEXT}\n— PeterNeumann x08gow==\n",  # a key id and no signature
        f"{GO_TEXT}\n— Peter+Neumann {GO_SIGNATURE}\n",
        f"{GO_TEXT}\n— Peter\u00a0Neumann {GO_SIGNATURE}\n",
        GO_NOTE.replace("problem,", "problem,\t"),
        GO_NOTE.replace("problem,", "problem,\0"),
        GO_NOTE.encode().replace(b"problem,", b"problem,\xff"),
        GO_NOTE.replace("problem,", "problem,\ud800"),
        GO_TEXT + "\n" + f"— PeterNeumann {GO_SIGNATURE}\n" * 101,
        "x" * 1_000_001 + "\n\n" + f"— PeterNeumann {GO_SIGNATURE}\n",
    ],
    ids=lambda note: ascii(note)[-60:],
)
def test_a_malformed_note_is_refused(note: str | bytes) -> None:
    with pytest.raises(InvalidProof):
        open_note(note, [Verifier.from_text(GO_VERIFIER)])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PeterNeumann",
        GO_VERIFIER[:-1],
        GO_VERIFIER + "\n",
        GO_VERIFIER.replace("c74f20a3", "c74f20a4"),
        GO_VERIFIER.replace("c74f20a3", "C74F20A3"),
        GO_VERIFIER.replace("c74f20a3", "74f20a3"),
        GO_VERIFIER.replace("PeterNeumann", "Peter Neumann"),
        GO_VERIFIER.replace("PeterNeumann", ""),
        GO_VERIFIER.replace("PeterNeumann", "\udcff"),
        GO_VERIFIER.replace("+ARpc", "+AhpC"),  # signature type 2
        GO_SIGNER,
    ],
    ids=ascii,
)
def test_a_malformed_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidData):
        Verifier.from_text(text)


@pytest.mark.parametrize(
    "text", ["", GO_VERIFIER, GO_SIGNER[:-1], GO_SIGNER.replace("c74f20a3", "c74f20a4"), GO_SIGNER + " "]
)
def test_a_malformed_private_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidData) as caught:
        Signer.from_text(text)
    assert "AYEKFALV" not in str(caught.value)


def test_a_private_key_does_not_show_itself() -> None:
    assert "AYEKFALV" not in repr(Signer.from_text(GO_SIGNER))


@pytest.mark.parametrize("text", ["no newline", "tab\there\n", ""])
def test_text_that_could_not_be_read_back_is_not_signed(text: str) -> None:
    with pytest.raises(InvalidData):
        sign_note(text, [SIGNER])


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u3000b", "a\nb", "\ud800"], ids=ascii)
def test_a_name_that_could_not_be_read_back_gets_no_key(name: str) -> None:
    with pytest.raises(InvalidData):
        Signer.generate(name)
