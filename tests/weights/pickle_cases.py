"""Hand-made pickles and the files around them: instructions put together one by one, so that any of them may lie."""

import io
import pickle
import struct
import zipfile

MAGIC = 0x1950A86A20F9469CFC6C


def text(value):
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def number(value):
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def tup(*parts):
    return b"(" + b"".join(parts) + b"t"


def numbers(values):
    return tup(*map(number, values))


def call(function, *parts):
    return function + tup(*parts) + b"R"


def items(pairs):
    return b"}(" + b"".join(text(key) + value for key, value in pairs) + b"u"


def whole(body, protocol=2):
    return b"\x80" + bytes([protocol]) + body + b"."


ORDERED = name("collections", "OrderedDict") + b")R"


def storage(key="0", numel=4, kind="FloatStorage", location="cpu", module="torch", rest=()):
    return tup(text("storage"), name(module, kind), text(key), text(location), number(numel), *rest) + b"Q"


def tensor(store=None, offset=0, size=(2, 2), stride=(2, 1), dtype=""):
    """Return the instructions of a tensor of PyTorch; of an untyped storage if `dtype` is given."""
    store = storage() if store is None else store
    parts = (store, number(offset), numbers(size), numbers(stride), b"\x89", ORDERED)
    if dtype:
        return call(name("torch._utils", "_rebuild_tensor_v3"), *parts, name("torch", dtype))
    return call(name("torch._utils", "_rebuild_tensor_v2"), *parts)


def state_dict(**tensors):
    return whole(items(tensors.items()))


SIXTEEN = struct.pack("<4f", 1, 2, 3, 4)


def torch_zip(pickled, storages=None, top="archive", more=(), deflated=False):
    """Return a PyTorch archive with this ``data.pkl``."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{top}/data.pkl", pickled)
        for key, content in ({"0": SIXTEEN} if storages is None else storages).items():
            archive.writestr(f"{top}/data/{key}", content)
        archive.writestr(f"{top}/version", b"3\n")
        for other, content in more:
            archive.writestr(other, content)
    return out.getvalue()


def torch_legacy(pickled, storages=None, keys=None, protocol=2):
    """Return a PyTorch file of the format before 1.6; storages are pairs of element count and bytes."""
    storages = {"0": (4, SIXTEEN)} if storages is None else storages
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [pickle.dumps(value, protocol) for value in (MAGIC, 1001, facts)]
    parts += [pickled, pickle.dumps(sorted(storages) if keys is None else keys, protocol)]
    return b"".join(parts) + b"".join(struct.pack("<q", n) + content for n, content in storages.values())


def lucid(pickled_object):
    return whole(items([("_lucid_format", number(2)), ("obj", pickled_object)]))


def lucid2(pickled_object):
    pairs = [("type", text("dict")), ("format_version", number(1.1)), ("content", pickled_object)]
    return whole(items(pairs))


def unframed(pickled):
    """Return a pickle of protocol 4 or 5 without its frames, so that names in it may change their length."""
    out, at = bytearray(), 0
    for op, _, position in pickletools_ops(pickled):
        if op.name == "FRAME":
            out += pickled[at:position]
            at = position + 9
    return bytes(out + pickled[at:])


def pickletools_ops(pickled):
    import pickletools

    return pickletools.genops(pickled)
