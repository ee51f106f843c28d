"""Wanted members of JSON: as Python's own parser reads them, and nothing that takes memory or time beyond its size."""

import json
import math
import time
from contextlib import nullcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.errors import WeightsError
from volconv.weights.json_input import read_members
from volconv.weights.weight_file import WeightFile

KEYS = ("wanted", "other", "", 'a"b', "ü\\")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def read(path, content, wanted=("wanted",)):
    path.write_bytes(content)
    file = WeightFile(path)
    try:
        return read_members(file, wanted)
    finally:
        file.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("json") / "a.json"


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5), st.sets(st.sampled_from(KEYS)),
    st.booleans(), st.sampled_from([None, 1]),
)  # fmt: skip
def test_what_python_reads(path, value, wanted, ascii_only, indent):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    found = read(path, text.encode("utf-8", "surrogatepass"), wanted)
    assert found == {key: value[key] for key in value if key in wanted}


@settings(max_examples=100, deadline=None)
@given(st.lists(VALUES, max_size=4))
def test_a_list_is_read_whole(path, value):
    assert read(path, json.dumps(value).encode()) == {"": value}


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='{}[],:"\\ \n0123.eE+-truefalsnwd', max_size=30))
def test_other_text_is_refused_where_python_refuses_it(path, text):
    content = ('{"wanted":' + text).encode()
    try:
        value = json.loads(content)
        assert isinstance(value, dict)
    except ValueError:
        with pytest.raises(WeightsError):
            read(path, content, ("wanted", "d", "", "w"))
        return
    try:
        found = read(path, content)
    except WeightsError as error:
        assert "two values" in str(error)  # noqa: PT017
    else:
        assert repr(found["wanted"]) == repr(value["wanted"]) or math.isinf(value["wanted"])


MANY = 1 << 16
HOSTILE = {
    "empty lists": b'{"wanted":[' + b"[]," * MANY + b"[]]}",
    "empty objects": b'{"wanted":[' + b"{}," * MANY + b"{}]}",
    "numbers": b'{"wanted":[' + b"1e1," * MANY + b"1]}",
    "short texts": b'{"wanted":[' + b'"ab",' * MANY + b"1]}",
    "keys": b'{"wanted":{' + b",".join(b'"%d":0' % i for i in range(MANY // 2)) + b"}}",
    "deep": b'{"wanted":' + b"[" * MANY,
    "deep and passed over": b'{"other":' + b"[" * MANY,
    "wide and passed over": b'{"other":[' + b"[]," * (4 * MANY),
    "a text without end": b'{"wanted":"' + b"a" * (4 * MANY),
    "quotes without end": b'{"other":["' + b'\\"' * (4 * MANY),
    "backslashes": b'{"wanted":"' + b"\\" * (4 * MANY + 1),
    "backslashes passed over": b'{"other":["' + b"\\" * (4 * MANY + 1),
    "a long text": b'{"wanted":"' + b"a" * MANY + b'"}',
    "a long number": b'{"wanted":' + b"9" * MANY + b"}",
    "spaces": b'{"wanted":' + b" " * (4 * MANY),
    "no UTF-8": b'{"wanted":"\xff"}',
    "UTF-16": '{"wanted":1}'.encode("utf-16"),
    "NaN": b'{"wanted":NaN}',
    "a comma too many": b'{"wanted":[1,]}',
    "no value": b'{"wanted":}',
    "no colon": b'{"wanted" 1}',
    "no key": b"{wanted:1}",
    "more behind": b'{"wanted":1} {}',
    "two of them": b'{"wanted":1,"wanted":1}',
    "a number": b"7",
    "nothing": b"",
    "too large": b'{"wanted":1}' + b" " * (1 << 24),
}


SMALL = ("numbers", "short texts", "keys")
"""Not many enough to be refused."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile(tmp_path, kind):
    import tracemalloc

    path = tmp_path / "a.json"
    start = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError) if kind not in SMALL else nullcontext() as caught:
            read(path, HOSTILE[kind])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert kind in SMALL or len(str(caught.value)) < 500
    assert peak < 10 * len(HOSTILE[kind]) + (1 << 21)
    assert time.process_time() - start < 5
