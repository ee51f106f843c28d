"""The contract of the readers, for every format; and files damaged at random."""

import random
import sys
import time

import numpy as np
import pytest

from tests.weights.conftest import write_torch
from volconv.errors import WeightsError
from volconv.weights.store import open_weights


def test_names_shapes_types_and_values_come_back(written, tensors):
    with open_weights(written) as store:
        assert set(store) == set(tensors)
        for name, wanted in tensors.items():
            assert store.info(name).shape == wanted.shape
            assert store.info(name).dtype == wanted.dtype.name
            assert store.info(name).nbytes == wanted.nbytes
            found = store[name]
            assert found.dtype == wanted.dtype
            assert found.flags.c_contiguous
            assert found.flags.writeable
            np.testing.assert_array_equal(found, wanted, strict=True)


def test_reading_twice_gives_arrays_of_their_own(written):
    with open_weights(written) as store:
        store["conv.bias"][:] = 0
        assert store["conv.bias"].any()


def test_cut_short_anywhere(written, tolerant_read):
    content = written.read_bytes()
    for length in sorted(random.Random(3).sample(range(len(content)), 60)):
        written.write_bytes(content[:length])
        assert tolerant_read(written) is None, length


def test_mutations_give_tensors_or_one_clear_error(written, tolerant_read):
    """Bytes are flipped, zeroed, inserted, removed and repeated; no other exception, no long wait."""
    content = written.read_bytes()
    chance = random.Random(11)
    start = time.monotonic()
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 1, 2, 8))):
            at = chance.randrange(len(damaged)) if chance.random() < 0.5 else chance.randrange(min(2000, len(damaged)))
            match chance.randrange(5):
                case 0:
                    damaged[at] ^= 1 << chance.randrange(8)
                case 1:
                    damaged[at] = chance.choice((0, 255, 127, 128))
                case 2:
                    damaged[at:at] = bytes(chance.randrange(1, 9))
                case 3:
                    del damaged[at : at + chance.randrange(1, 9)]
                case 4:
                    damaged[at : at + 8] = chance.choice((b"\xff" * 8, bytes(7) + b"\x80", b"9" * 8))
        written.write_bytes(damaged)
        tolerant_read(written)
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_flipped_bits_of_an_npz_never_read_wrong(tmp_path, tolerant_read, tensors, save):
    path = tmp_path / "a.npz"
    save(path, **tensors)
    content = path.read_bytes()
    chance = random.Random(5)
    for _ in range(150):
        damaged = bytearray(content)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        for name, found in (tolerant_read(path) or {}).items():
            np.testing.assert_array_equal(found, tensors[name], strict=True)


def test_closed_files_say_so(written):
    store = open_weights(written)
    store.close()
    store.close()
    with pytest.raises(WeightsError, match="closed"):
        store["conv.bias"]


BIG = 25_000_000  # float64: 200 MB


def make_big(path, suffix):
    import pickle

    import h5py
    from safetensors.numpy import save_file

    big = {"big": np.zeros(BIG), "small": np.arange(5.0)}
    match suffix:
        case "npz":
            np.savez(path, **big)
        case "safetensors":
            save_file(big, path)
        case "pt":
            write_torch(path, big)
        case "pkl":
            path.write_bytes(pickle.dumps(big, 5))
        case "p2":
            path.write_bytes(pickle.dumps(big, 2))
        case "h5":
            with h5py.File(path, "w") as file:
                for name, value in big.items():
                    file[name] = value


MEASURE = """
import resource, sys
from volconv.weights.store import open_weights
import h5py
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open_weights(sys.argv[1]) as store:
    assert store.info("big").nbytes == 200_000_000
    assert store["small"].tolist() == [0, 1, 2, 3, 4]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["npz", "safetensors", "h5", "pt", "pkl", "p2"])
def test_one_small_tensor_of_a_large_file_takes_little_memory(tmp_path, suffix):
    import subprocess

    path = tmp_path / f"big.{suffix}"
    make_big(path, suffix)
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 8_000, "KiB"
