from __future__ import annotations

import pyarrow as pa
import pytest

from cim.db.json_text import objects


@pytest.mark.parametrize(
    "chunks", [[["a", 'say "no"\n', None]], [["a"], ['say "no"\n', None]]], ids=["whole", "chunked"]
)
def test_text_that_must_be_escaped_is_whatever_the_chunks(chunks: list[list[str | None]]) -> None:
    found = objects({"n": pa.chunked_array(chunks, pa.string())}, set())
    assert found.to_pylist() == ['{"n":"a"}', '{"n":"say \\"no\\"\\n"}', None]


def test_no_rows_give_no_objects() -> None:
    assert objects({"n": pa.chunked_array([], pa.string())}, set()).to_pylist() == []
