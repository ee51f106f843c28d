"""A scan through a network that a list of layers describes, in PyTorch: ``torch_layers.py LAYERS WEIGHTS SCAN SCALE``.

Prints the seconds of the second forward pass. LAYERS is JSON: a list of mappings with ``op`` and its parameters, each
reading the one before it or those it names. WEIGHTS is a state dict or a safetensors file; without one ("") they are
random, which takes as long.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

ACTIVATIONS = {"relu": functional.relu, "elu": functional.elu, "sigmoid": torch.sigmoid, "gelu": functional.gelu}


def read_weights(path: str) -> dict[str, Tensor]:
    """Return the tensors by name."""
    if not path:
        return {}
    try:
        found: dict[str, Tensor] = load_file(path)
    except Exception:
        found = torch.load(path, map_location="cpu", weights_only=True)
    return found


def run(layers: list[dict[str, Any]], weights: dict[str, Tensor], volume: Tensor) -> Tensor:
    """Return what the last layer gives."""
    made = {"input": volume}
    last = volume
    for layer in layers:
        x = made[layer["input"]] if "input" in layer else last
        last = apply(layer, weights, x, [made[name] for name in layer.get("inputs", ())])
        made[layer.get("id", "")] = last
    return last


def apply(layer: dict[str, Any], weights: dict[str, Tensor], x: Tensor, inputs: list[Tensor]) -> Tensor:
    """Return what one layer makes of `x`, or of several `inputs`."""
    op = layer["op"]
    if op == "conv3d":
        key = layer.get("weight_key", str(id(layer)))
        if f"{key}.weight" not in weights:
            shape = layer["weight_shape"]
            weights[f"{key}.weight"] = torch.randn(shape) / np.sqrt(np.prod(shape[1:]))
            weights[f"{key}.bias"] = torch.randn(shape[0])
        bias = weights.get(f"{key}.bias")
        x = functional.conv3d(x, weights[f"{key}.weight"], bias, 1, layer["padding"], layer.get("dilation", 1))
    elif op == "concat":
        x = torch.cat(inputs, 1)
    elif op == "maxpool3d":
        x = functional.max_pool3d(x, layer["kernel"])
    elif op == "upsample_nearest":
        x = functional.interpolate(x, scale_factor=layer["scale"])
    elif op == "inorm":
        x = functional.instance_norm(x)
    else:
        x = ACTIVATIONS[op](x)
    if "norm" in layer:
        parts = (
            weights[f"{layer['norm']['key']}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
        )
        x = functional.batch_norm(x, *parts, eps=layer["norm"]["eps"])
    return ACTIVATIONS[layer["activation"]](x) if "activation" in layer else x


def main() -> None:
    """Run the network twice and tell how long the second time took."""
    layers, weights, scan, scale = sys.argv[1:]
    network = json.loads(Path(layers).read_text())
    volume = torch.from_numpy(np.asarray(nib.load(scan).dataobj, np.float32))[None, None] * float(scale)
    tensors = read_weights(weights)
    with torch.inference_mode():
        for _ in range(2):
            start = time.perf_counter()
            run(network, tensors, volume)
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
