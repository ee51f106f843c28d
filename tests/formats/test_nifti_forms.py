"""Affines of headers: those of nibabel, bit for bit."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header

from volconv.formats.nifti_forms import make_base_affine, make_qform, make_sform

KINDS = {1: Nifti1Header, 2: Nifti2Header}

singles = st.floats(-1e6, 1e6, width=32)
parts = st.floats(-1, 1, width=32)
lengths = st.floats(0, 1e6, width=32)
triples = st.tuples(singles, singles, singles)


@st.composite
def quaternions(draw):
    """Three parts of a unit quaternion; often of a half turn, which is 1 long up to rounding, sometimes too long."""
    bcd = np.array(draw(st.tuples(parts, parts, parts)), dtype=np.float64)
    norm = np.sqrt(bcd @ bcd)
    assume(norm > 0)
    return bcd / norm * draw(st.one_of(st.just(1.0), st.floats(0, 1), st.floats(1 - 1e-6, 1 + 1e-6)))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([1, 2]), st.sampled_from(["<", ">"]), quaternions(), st.tuples(lengths, lengths, lengths),
    st.sampled_from([1.0, -1.0]), triples,
)  # fmt: skip
def test_rotations_are_nibabels(version, byte_order, quaternion, spacing, qfac, offset):
    raw = KINDS[version](endianness=byte_order)
    raw["pixdim"][:4] = [qfac, *spacing]
    raw["quatern_b"], raw["quatern_c"], raw["quatern_d"] = quaternion
    raw["qoffset_x"], raw["qoffset_y"], raw["qoffset_z"] = offset
    stored = [float(raw[f"quatern_{letter}"]) for letter in "bcd"]
    try:
        expected = raw.get_qform()
    except ValueError:
        with pytest.raises(ValueError, match="longer"):
            make_qform(spacing, qfac, stored, offset, version)
        return
    assert make_qform(spacing, qfac, stored, offset, version).tobytes() == expected.astype(np.float64).tobytes()


@pytest.mark.parametrize("version", [1, 2])
def test_a_quaternion_that_is_too_long(version):
    with pytest.raises(ValueError, match="longer"):
        make_qform((1, 1, 1), 1, (1, 0.1, 0), (0, 0, 0), version)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([1, 2]), st.lists(st.tuples(st.integers(1, 30_000), lengths), min_size=1, max_size=7))
def test_base_affines_are_nibabels(version, axes):
    dims, spacing = zip(*axes, strict=True)
    raw = KINDS[version]()
    raw.set_data_shape(dims)
    raw["pixdim"][1 : len(dims) + 1] = spacing
    assert make_base_affine(dims, spacing).tobytes() == raw.get_base_affine().tobytes()


@given(st.tuples(triples, triples, triples, triples))
def test_rows_are_nibabels(columns):
    rows = np.array(columns).T
    raw = Nifti1Header()
    raw["srow_x"], raw["srow_y"], raw["srow_z"] = rows
    assert make_sform(rows).tobytes() == make_sform(rows.ravel()).tobytes() == raw.get_sform().tobytes()
