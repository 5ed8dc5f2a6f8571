"""The verifier in the browser: in a real one, by its own controls, and the same answers as ours."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cim.log import standalone
from cim.log.entry import canonicalize
from cim.log.note import Signer

PAGE = Path(standalone.__file__).with_name("verify.html")
SOURCE = PAGE.read_text(encoding="utf-8")
COMMITMENT = "9f" * 32
ENTRY: dict[str, Any] = {
    "v": 1, "type": "building", "code": "110101001001GB00001F0001", "op": "update", "rev": 2, "prev": 0,
    "at": "2026-11-21T08:00:00.000000Z", "by": "kim", "reason": "survey <b>2026</b>", "dataset": f"sha256:{'ab' * 32}",
    "body": {"name": "甲楼", "height": 12.5, "has_lift": True, "note": "a\u202eb", "tags": ["x", 1]},
    "geometry": {"srid": 4548, "sha256": "cd" * 32},
    "private": {"owner_name": COMMITMENT},
}  # fmt: skip
STATE = "document.getElementById('result').dataset.state"
TEXT = "document.getElementById('result').innerText"
# Nothing is shown of an earlier attempt while another is under way.
SETTLED = f"new Promise((done) => {{ const look = () => {STATE} ? done({STATE}) : setTimeout(look, 10); look(); }})"


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Any:
    """The page as it lies in an exported folder, opened from there."""
    copy = tmp_path / "verify.html"
    shutil.copyfile(PAGE, copy)
    browser.open(copy.as_uri())
    return browser


def choose(page: Any, *files: Path) -> None:
    """Choose files as the dialogue of the file control would."""
    document = page.call("DOM.getDocument")["root"]["nodeId"]
    control = page.call("DOM.querySelector", nodeId=document, selector="#file")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=control, files=[str(file) for file in files])


def enter_key(page: Any, key: str) -> None:
    """Type the key."""
    page.run("document.getElementById('key').value = ''; document.getElementById('key').focus()")
    page.call("Input.insertText", text=key)


def drop(page: Any, files: dict[str, bytes]) -> None:
    """Drop files onto the page."""
    encoded = {name: base64.b64encode(data).decode() for name, data in files.items()}
    page.run(
        f"""{{
        const transfer = new DataTransfer();
        for (const [name, data] of Object.entries({json.dumps(encoded)})) {{
            transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name));
        }}
        document.body.dispatchEvent(new DragEvent("drop", {{dataTransfer: transfer, bubbles: true, cancelable: true}}));
        }}"""
    )


# ---------------------------------------------------------------- as its reader uses it


def test_a_chosen_proof_and_a_typed_key_show_the_record(
    page: Any, tmp_path: Path, key: str, make_proof: Callable[..., bytes]
) -> None:
    proof = tmp_path / "B1.tlog-proof"
    proof.write_bytes(make_proof(canonicalize(ENTRY), 7, 3))
    choose(page, proof)
    enter_key(page, key)
    assert page.run(SETTLED) == "good"
    shown = page.run(TEXT)
    assert shown.startswith("✓ Verified 核验通过")
    rows = dict(line.split("\t", 1) for line in shown.splitlines() if "\t" in line)
    assert rows["Kind of object 对象类型"] == "building"
    assert rows["Code 编码"] == "110101001001GB00001F0001"
    assert rows["Change 操作"] == "update 更新"
    assert rows["Reason 原因"] == "survey <b>2026</b>"  # as text, never as markup
    assert rows["name"] == "甲楼"
    assert rows["height"] == "12.5"
    assert rows["has_lift"] == "true"
    assert rows["note"] == r"a\u{202e}b"  # turns the reading direction: spelled out
    assert rows["tags"] == '["x",1]'
    assert rows["srid"] == "4548"
    assert rows["owner_name"] == COMMITMENT
    assert rows["Log 日志"] == "city.example/log"
    assert rows["Place, counted from 0 序号（从 0 起）"] == "3"
    assert rows["Records in the log when signed 签名时日志记录数"] == "7"
    assert rows["Hash of the record 记录哈希"] == sha256(b"\0" + canonicalize(ENTRY)).hexdigest()
    assert page.run("document.getElementById('file-name').textContent") == "B1.tlog-proof"


def test_a_proof_and_a_key_file_can_be_dropped_and_a_changed_proof_is_refused(
    page: Any, key: str, make_proof: Callable[..., bytes]
) -> None:
    proof = make_proof(canonicalize(ENTRY), 7, 3)
    drop(page, {"B1.tlog-proof": proof, "log.vkey": f"{key}\n".encode()})
    assert page.run(SETTLED) == "good"
    drop(page, {"B1.tlog-proof": proof.replace(b"index 3", b"index 4")})
    assert page.run(SETTLED) == "bad"
    assert page.run(TEXT).startswith("✗ Not verified 核验未通过")
    assert "does not lead to the root" in page.run(TEXT)
    assert "甲楼" not in page.run(TEXT)
    drop(page, {"B1.tlog-proof": proof})
    assert page.run(SETTLED) == "good"
    enter_key(page, Signer("city.example/log", bytes(32)).verifier.to_text())
    assert page.run(SETTLED) == "bad"
    assert "did not sign" in page.run(TEXT)


def test_nothing_is_claimed_before_there_is_a_proof_and_a_key(
    page: Any, key: str, make_proof: Callable[..., bytes]
) -> None:
    assert page.run("document.getElementById('result').hidden")
    drop(page, {"B1.tlog-proof": make_proof(canonicalize(ENTRY))})
    enter_key(page, key)
    assert page.run(SETTLED) == "good"
    enter_key(page, " ")
    assert page.run("document.getElementById('result').hidden")


# ---------------------------------------------------------------- the same answers

ANSWERS = """
(async (proofs, key) => {
    const answers = [];
    for (const proof of proofs) {
        try {
            const found = await verifyProof(Uint8Array.from(atob(proof), (c) => c.charCodeAt(0)), key);
            const place = [found.origin, String(found.index), String(found.size), found.root];
            answers.push([...place, new TextDecoder("utf-8", {ignoreBOM: true}).decode(found.data)]);
        } catch (error) {
            answers.push(error instanceof Refused ? null : `${error}`);
        }
    }
    return answers;
})
"""


def test_it_accepts_and_refuses_what_ours_does(
    page: Any, many_proofs: list[bytes], ours: list[dict[str, Any] | None], key: str
) -> None:
    encoded = [base64.b64encode(proof).decode() for proof in many_proofs]
    answers = page.run(f"{ANSWERS}({json.dumps(encoded)}, {json.dumps(key)})")
    for proof, answer, expected in zip(many_proofs, answers, ours, strict=True):
        if expected is None:
            assert answer is None, proof
        else:
            place = [expected["origin"], str(expected["index"]), str(expected["size"]), expected["root"]]
            assert answer == [*place, canonicalize(expected["entry"]).decode()], proof


# ---------------------------------------------------------------- what it may do


@pytest.mark.parametrize("tag", ["script", "style"])
def test_only_its_own_script_and_style_may_run(tag: str) -> None:
    content = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", SOURCE, re.DOTALL)
    assert len(content) == 1
    allowed = f"{tag}-src 'sha256-{base64.b64encode(sha256(content[0].encode()).digest()).decode()}';"
    assert allowed in SOURCE, f"the {tag} was changed: its policy must say {allowed}"


def test_it_asks_no_network_and_breaks_no_policy(page: Any, key: str, make_proof: Callable[..., bytes]) -> None:
    drop(page, {"B1.tlog-proof": make_proof(canonicalize(ENTRY)), "log.vkey": key.encode()})
    assert page.run(SETTLED) == "good"
    asked = [
        event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert all(url.startswith("file:") and url.endswith("/verify.html") for url in asked)
    assert [event for event in page.events if event["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")] == []
    assert page.run("fetch('data:,x').then(() => 'allowed', () => 'refused')") == "refused"
    assert not re.search(r"(src|href)=|\bimport\b|fetch\(|XMLHttpRequest|WebSocket|innerHTML|eval", SOURCE)


def test_its_two_languages_are_marked(page: Any) -> None:
    marked = page.run(
        "[...document.querySelectorAll('main *')].filter((e) => e.lang === 'zh').map((e) => e.innerText).join('')"
    )
    assert "核验城市记录" in marked
    unmarked = page.run(
        "[...document.querySelectorAll('main *:not(script)')].filter((e) => !e.closest('[lang=zh]'))"
        ".flatMap((e) => [...e.childNodes]).filter((n) => n.nodeType === 3).map((n) => n.data).join('')"
    )
    assert "Verify a city record" in unmarked
    assert not re.search(r"[\u4e00-\u9fff]", unmarked)
