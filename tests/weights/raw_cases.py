"""Models of TensorFlow.js, written as its Python converter and its browser code write them."""

import json

import numpy as np


def quantise(values, code):
    """Return codes and quantisation as ``tensorflowjs/quantization.py`` makes them."""
    if code == "float16":
        return values.astype("f2"), {"dtype": code}
    low, high, most = float(values.min()), float(values.max()), np.iinfo(code).max
    scale = (high - low) / most if high > low else 1.0
    if low <= 0 <= high and high > low:
        low = -round(-low / scale) * scale
    codes = np.clip(np.round((values.astype("f8") - low) / scale), 0, most).astype(code)
    return codes, {"dtype": code, "min": low, "scale": scale}


def group_of(tensors, codes=None):
    """Return the weights of a group, and their bytes."""
    weights, raw = [], b""
    for name, values in tensors.items():
        entry = {"name": name, "shape": list(values.shape), "dtype": values.dtype.name}
        stored = values
        if codes and name in codes:
            stored, entry["quantization"] = quantise(values, codes[name])
        weights.append(entry)
        raw += stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    return weights, raw


def write_model(folder, groups, shard=40, codes=None, name="model.json", **members):
    """Write groups of tensors in shards of so many bytes; return the path of the document."""
    manifest = []
    for number, tensors in enumerate(groups, 1):
        weights, raw = group_of(tensors, codes)
        parts = [raw[at : at + shard] for at in range(0, len(raw), shard)]
        paths = [f"group{number}-shard{i}of{len(parts)}.bin" for i in range(1, len(parts) + 1)]
        for path, part in zip(paths, parts, strict=True):
            (folder / path).write_bytes(part)
        manifest.append({"paths": paths, "weights": weights})
    document = {"format": "layers-model", "modelTopology": {"a": [1, {"b": "]"}]}, "weightsManifest": manifest}
    (folder / name).write_text(json.dumps(document | members))
    return folder / name
