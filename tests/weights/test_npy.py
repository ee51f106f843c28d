"""``.npy``: numpy writes, we read; headers that lie."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from volconv.weights.store import open_weights


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    kind=st.sampled_from(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]),
    order=st.sampled_from("<>"),
    fortran=st.booleans(),
)
def test_whatever_numpy_writes(tmp_path, data, kind, order, fortran):
    dtype = np.dtype(order + kind)
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))
    wanted = data.draw(hnp.arrays(dtype, shape))
    path = tmp_path / "one.npy"
    np.save(path, np.asfortranarray(wanted) if fortran else wanted)
    with open_weights(path) as store:
        assert list(store) == [""]
        found = store[""]
    assert found.dtype == wanted.dtype.newbyteorder("=")
    assert found.dtype.isnative
    assert found.shape == np.load(path).shape
    np.testing.assert_array_equal(found, np.load(path))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_all_header_versions(tmp_path, version):
    path = tmp_path / "one.npy"
    with path.open("wb") as out:
        np.lib.format.write_array(out, np.arange(6.0).reshape(2, 3), version=version)
    with open_weights(path) as store:
        np.testing.assert_array_equal(store[""], np.arange(6.0).reshape(2, 3))


def test_headers_of_other_writers(tmp_path, npy_bytes):
    path = tmp_path / "one.npy"
    for header in (
        '{"shape":(2L,3L),"fortran_order":False,"descr":"<f4"}',
        "  {'fortran_order' : False, 'descr' : '<f4' , 'shape' : ( 2 , 3 , ) ,  }  \n",
    ):
        path.write_bytes(npy_bytes(header, np.arange(6, dtype="<f4").tobytes()))
        with open_weights(path) as store:
            assert store[""].tolist() == [[0, 1, 2], [3, 4, 5]]


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
NAN = bytes(24)


@pytest.mark.parametrize(
    ("header", "data", "match"),
    [
        (HEADER, NAN[:-1], "23 bytes"),
        (HEADER, NAN + b"x", "25 bytes"),
        (HEADER.replace("(2, 3)", f"({2**60},)"), NAN, "found 24 bytes"),
        (HEADER.replace("(2, 3)", f"({2**32}, {2**32})"), b"", "bytes of numbers"),
        (HEADER.replace("(2, 3)", f"({2**62}, 4)"), b"", "bytes of numbers"),
        (HEADER.replace("(2, 3)", "(-2, -3)"), NAN, "another text"),
        (HEADER.replace("(2, 3)", "(2.0, 3)"), NAN, "another text"),
        (HEADER.replace("(2, 3)", "(2, , 3)"), NAN, "other kinds"),
        (HEADER.replace("(2, 3)", "(2, True)"), NAN, "another text"),
        (HEADER.replace("(2, 3)", "(" + "9" * 5000 + ",)"), NAN, "other kinds"),
        (HEADER.replace("(2, 3)", "(" + "1," * 33 + ")"), b"1234", "33 axes"),
        (HEADER.replace("(2, 3)", "__import__('os').system('true')"), NAN, "another text"),
        (HEADER.replace("False", "0"), NAN, "another text"),
        (HEADER.replace("'descr'", "'desc'"), NAN, "another text"),
        (HEADER.replace("'shape'", "'descr'"), NAN, "another text"),
        (HEADER[:-1], NAN, "another text"),
        (HEADER[:30], NAN, "another text"),
        ("[" * 5000, NAN, "another text"),
        ("{" * 5000 + "}" * 5000, NAN, "another text"),
        ("{" + "'a': 'b', " * 3 + "}", NAN, "another text"),
        ("", NAN, "another text"),
        (HEADER.replace("'<f4'", "[('a', '<f4')]"), NAN, "record"),
        (HEADER.replace("'<f4'", "'|O'"), NAN, "pickled objects are never loaded"),
        (HEADER.replace("'<f4'", "'<U5'"), NAN, "type str"),
        (HEADER.replace("'<f4'", "'|S4'"), NAN, "type bytes"),
        (HEADER.replace("'<f4'", "'<c8'"), NAN, "type complex"),
        (HEADER.replace("'<f4'", "'<M8[ns]'"), NAN, "type <M8"),
        (HEADER.replace("'<f4'", "'<f3'"), NAN, "type float24"),
        (HEADER.replace("'<f4'", "'<f16'"), NAN * 4, "type float128"),
        (HEADER.replace("'<f4'", "'|V4'"), NAN, "type |V4".replace("|", r"\|")),
        (HEADER.replace("'<f4'", "'|b1'"), NAN[:6], "type bool"),
        (HEADER.replace("'<f4'", "'evil()'"), NAN, r"type evil\(\)"),
        (HEADER.replace("'<f4'", "'f'"), NAN, "type float0"),
    ],
)
def test_headers_that_lie_are_refused(refused, npy_bytes, header, data, match):
    refused(npy_bytes(header, data), match)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"\x93NUMPY", "magic"),
        (b"\x93NUMPY\x01\x00", "magic"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b" " * 100, "bytes of header"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 100, "bytes of header"),
        (b"\x93NUMPY\x04\x00" + bytes(100), "version 4.0"),
        (b"\x93NUMPY\x01\x01" + bytes(100), "version 1.1"),
    ],
)
def test_damaged_starts_are_refused(refused, content, match):
    refused(content, match)
