"""A U-Net of convolutions, batch norms and ReLUs, strided down and transposed up, with skips by sums."""

import numpy as np
import pytest

from volconv.engine.naive_engine import run_naive
from volconv.formats.in_memory import ArraySource
from volconv.graph.build import build_graph, make_loader
from volconv.graph.passes import optimise
from volconv.ops.base import Wire
from volconv.run.arrays import run_graph
from volconv.spec.load import load_spec_mapping

SHAPE = (24, 20, 28)
WIDTHS = (16, 32, 64)
DOWN = {"aligned": {"kernel_size": 2, "stride": 2}, "usual": {"kernel_size": 3, "stride": 2, "padding": 1}}


class Net:
    """Stages, and random weights of a size that keeps values at about 1."""

    def __init__(self):
        self.stages, self.tensors = [], {}
        self.rng = np.random.default_rng(0)

    def conv(self, name, inputs, outputs, op="Conv3d", **parameters):
        kernel = (parameters["kernel_size"],) * 3
        channels = (inputs, outputs) if op == "ConvTranspose3d" else (outputs, inputs)
        taps = 1 if op == "ConvTranspose3d" else np.prod(kernel)
        weight = self.rng.standard_normal((*channels, *kernel)) * np.sqrt(2 / (inputs * taps))
        self.tensors[f"{name}.weight"] = weight.astype("f4")
        self.stages.append({"op": op, "name": name, "bias": False, **parameters})

    def norm(self, channels, name, op="BatchNorm3d"):
        mean, bias = 0.3 * self.rng.standard_normal((2, channels))
        variance, weight = self.rng.uniform(0.2, 2, (2, channels))
        held = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}
        self.tensors.update({f"{name}.norm.{key}": tensor.astype("f4") for key, tensor in held.items()})
        self.tensors[f"{name}.norm.num_batches_tracked"] = np.array(7)
        self.stages += [{"op": op, "name": f"{name}.norm"}, {"op": "ReLU", "name": name}]

    def block(self, name, inputs, outputs, **parameters):
        self.conv(f"{name}.conv", inputs, outputs, **(parameters or {"kernel_size": 3, "padding": 1}))
        self.norm(outputs, name)

    def add(self, name, *inputs):
        self.stages.append({"op": "Add", "name": name, "inputs": list(inputs)})


def make_unet(kind):
    net, below = Net(), 1
    for level, width in enumerate(WIDTHS):
        if level:
            net.block(f"down{level}", below, below, **DOWN[kind])
        net.block(f"enc{level}", below, width)
        below = width
    for level, width in reversed(list(enumerate(WIDTHS[:-1]))):
        net.conv(f"up{level}", below, width, "ConvTranspose3d", kernel_size=2, stride=2)
        net.add(f"sum{level}", f"up{level}", f"enc{level}")
        net.norm(width, f"joined{level}", "BatchNorm2d")
        net.block(f"dec{level}", width, width)
        net.add(f"res{level}", f"dec{level}", f"joined{level}", f"enc{level}")
        below = width
    net.conv("head", below, 3, kernel_size=1)
    return net


@pytest.fixture(scope="module")
def graph_of(tmp_path_factory):
    """From a kind of U-Net, a type and outputs to its graph; weights are read from a file."""
    folder = tmp_path_factory.mktemp("unet")
    for kind in DOWN:
        np.savez(folder / f"{kind}.npz", **make_unet(kind).tensors)

    def build(kind, dtype="float32", outputs=("head",)):
        mapping = {"volconv": 1, "dtype": dtype, "weights": f"{kind}.npz", "outputs": list(outputs)}
        spec = load_spec_mapping({**mapping, "stages": make_unet(kind).stages}, folder=folder)
        loader = make_loader(spec)
        try:
            graph = build_graph(spec, Wire(SHAPE, 1, dtype), loader)
            assert not any(loader.unused().values())
            return graph
        finally:
            loader.close()

    return build


def run(graph, values, tile, threads=2):
    return run_graph(graph, ArraySource(values), 2**34, threads, tile)


def volume(dtype="float32"):
    return np.random.default_rng(1).standard_normal((1, *SHAPE)).astype(dtype)


@pytest.mark.slow
@pytest.mark.parametrize("kind", DOWN)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_is_its_naive_twin(graph_of, kind, dtype):
    graph, x = graph_of(kind, dtype), volume(dtype)
    exact = run_naive(graph, x)["head"]
    for algorithm in ("auto", "direct"):
        found = run(optimise(graph, algorithm), x, "whole")["head"]
        assert np.abs(found - exact).max() <= 40 * np.finfo(dtype).eps * np.abs(exact).max()


@pytest.mark.parametrize("kind", DOWN)
def test_however_it_is_cut_the_bytes_are_the_same(graph_of, kind):
    graph, x = optimise(graph_of(kind)), volume()
    whole = run(graph, x, "whole")["head"]
    for threads in (1, 2):
        for tile in ((8, 8, 8), (16, 11, 9), "whole"):
            assert run(graph, x, tile, threads)["head"].tobytes() == whole.tobytes(), (tile, threads)
    saved = optimise(graph_of(kind, outputs=("head", "enc0", "sum1", "down2", "res0")))
    assert run(saved, x, (9, 10, 11))["head"].tobytes() == whole.tobytes()


def test_in_half_precision_too(graph_of):
    graph, x = optimise(graph_of("usual", "float16")), volume()
    whole = run(graph, x, "whole")["head"]
    assert run(graph, x, (10, 20, 9), 1)["head"].tobytes() == whole.tobytes()
    full = run(optimise(graph_of("usual")), x, "whole")["head"]
    assert np.abs(whole - full).max() <= 0.02 * np.abs(full).max()


def test_norms_and_activations_cost_no_stage(graph_of):
    names = [node.name for node in optimise(graph_of("usual")).nodes]
    assert names == [
        "enc0", "down1", "enc1", "down2", "enc2", "up1", "joined1", "dec1", "res1", "up0", "joined0", "dec0", "res0",
        "head",
    ]  # fmt: skip


def test_is_torchs(graph_of):
    torch = pytest.importorskip("torch", reason='torch is the oracle here: python -m pip install -e ".[oracle]"')
    net, x = make_unet("usual"), volume()
    values = {"input": torch.from_numpy(x)[None]}
    last = "input"
    for stage in net.stages:
        name, op = stage["name"], stage["op"]
        held = {key.removeprefix(f"{name}."): torch.as_tensor(tensor) for key, tensor in net.tensors.items()
                if key.rpartition(".")[0] == name}  # fmt: skip
        reads = [values[source] for source in stage.get("inputs", [last])]
        window = {"stride": stage.get("stride", 1), "padding": stage.get("padding", 0)}
        if op == "Conv3d":
            out = torch.nn.functional.conv3d(reads[0], held["weight"], **window)
        elif op == "ConvTranspose3d":
            out = torch.nn.functional.conv_transpose3d(reads[0], held["weight"], **window)
        elif op.startswith("BatchNorm"):
            layer = torch.nn.BatchNorm3d(len(held["weight"])).eval()
            layer.load_state_dict(held)
            out = layer(reads[0])
        else:
            out = sum(reads[1:], reads[0]) if op == "Add" else torch.relu(reads[0])
        values[name] = out
        last = name
    expected = values["head"].detach().numpy()[0]
    found = run(optimise(graph_of("usual")), x, (16, 11, 9))["head"]
    assert np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()
