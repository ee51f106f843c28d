from hypothesis import given
from hypothesis import strategies as st

from volconv.engine.phases import list_phases, phase_outputs, tap_inputs
from volconv.ops.conv_transpose3d import ConvTranspose3d


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(0, 4), st.integers(0, 6), st.integers(1, 9))
def test_phases_gather_what_the_definition_scatters(kernel, stride, dilation, pad, start, count):
    op = ConvTranspose3d(1, 1, (kernel, 1, 1), (stride, 1, 1), (pad, 0, 0), (pad, 0, 0), dilation=(dilation, 1, 1))
    gathered = {}
    for phase in list_phases(op):
        first, n = phase_outputs(op, phase, 0, (start, start + count))
        for j in range(n):
            taps = zip(phase.taps[0], tap_inputs(op, phase, 0, first), strict=True)
            gathered[first + j * stride] = {(i + j, k) for k, i in taps}
    scattered = {o: set() for o in range(start, start + count)}
    for i in range(-30, 60):
        for k in range(kernel):
            o = i * stride - pad + k * dilation
            if o in scattered:
                scattered[o].add((i, k))
    assert gathered == scattered
