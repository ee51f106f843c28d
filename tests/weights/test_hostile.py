"""Files made to do harm: none runs anything, none crashes, none takes memory or time beyond its size.

A payload makes a folder; Python's own unpickler would. `refused` watches the memory; `quick` the time.
"""

import io
import pickle
import random
import struct
import tarfile
import time
import zipfile

import pytest

from tests.weights.pickle_cases import (
    SIXTEEN,
    call,
    items,
    lucid,
    lucid2,
    name,
    number,
    numbers,
    state_dict,
    storage,
    tensor,
    text,
    torch_legacy,
    torch_zip,
    tup,
    whole,
)


@pytest.fixture
def marker(tmp_path):
    """Return a folder that must not exist when the test is over."""
    path = tmp_path / "it-ran"
    yield path
    assert not path.exists()


@pytest.fixture
def quick():
    start = time.process_time()  # of this process alone: others may hold the machine up
    yield
    assert time.process_time() - start < 5


def in_tar(pickled):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for member in ("storages", "tensors", "pickle"):
            info = tarfile.TarInfo(member)
            info.size = len(pickled)
            archive.addfile(info, io.BytesIO(pickled))
    return out.getvalue()


def in_npz(pickled):
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(118) + b"\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + pickled)
    return out.getvalue()


CARRIERS = {
    "plain": whole,
    "torch zip": lambda body: torch_zip(whole(body)),
    "torch zip, packed": lambda body: torch_zip(whole(body), deflated=True),
    "torch zip, nested": lambda body: torch_zip(state_dict(a=tensor(), b=items([("c", body)]))),
    "torch zip, in a storage": lambda body: torch_zip(state_dict(a=tensor(storage() + b"0" + body))),
    "legacy, object": lambda body: torch_legacy(whole(body)),
    "legacy, first": lambda body: torch_legacy(whole(body))[:15] + whole(body),
    "legacy, keys": lambda body: (
        torch_legacy(state_dict(a=tensor(storage(rest=[b"N"])))).split(b"\x80\x02]")[0] + whole(body)
    ),
    "lucid": lucid,
    "lucid 2": lucid2,
    "tar": lambda body: in_tar(whole(body)),
    "npz": lambda body: in_npz(whole(body)),
    "numpy state": lambda body: whole(
        call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), tup(number(0)), text("b"))
        + tup(number(1), tup(), body, b"\x89", text(""))
        + b"b"
    ),
    "megengine": lambda body: whole(name("megengine.tensor", "Tensor") + tup(body) + b"\x81"),
    "ordered dict": lambda body: whole(name("collections", "OrderedDict") + b")R}" + text("_metadata") + body + b"sb"),
}

FUNCTIONS = {
    "posix": ("posix", "mkdir"),
    "os": ("os", "mkdir"),
    "os, dotted": ("os", "path.join"),
    "dotted module": ("os.path", "os.mkdir"),
    "eval": ("builtins", "eval"),
    "exec of Python 2": ("__builtin__", "execfile"),
    "getattr": ("builtins", "getattr"),
    "import": ("importlib", "import_module"),
    "runstring": ("numpy.testing._private.utils", "runstring"),
    "memmap": ("numpy", "memmap"),
    "load": ("numpy", "load"),
    "ndarray, dotted": ("numpy", "ndarray.tofile"),
    "open_memmap": ("numpy.lib.format", "open_memmap"),
    "codecs": ("_codecs", "decode"),
    "torch": ("torch.storage", "_load_from_bytes"),
    "torch, dotted": ("torch._utils", "_rebuild_tensor_v2.__globals__"),
    "torch, other": ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"),
    "torch hub": ("torch.hub", "load"),
    "OrderedDict, dotted": ("collections", "OrderedDict.fromkeys"),
    "megengine": ("megengine", "load"),
    "zipfile": ("zipfile", "ZipFile"),
    "log": ("logging", "FileHandler"),
    "copyreg": ("copyreg", "_reconstructor"),
    "empty": ("", ""),
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_code_in_every_carrier(refused, marker, carrier):
    body = call(name("posix", "mkdir"), text(str(marker)))
    refused(CARRIERS[carrier](body), r"posix\.mkdir|tar archive|type object|PyTorch's and 1001")


@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize("carrier", ["plain", "torch zip", "lucid"])
def test_every_function_is_refused_by_name(refused, marker, carrier, kind):
    module, attribute = FUNCTIONS[kind]
    refused(CARRIERS[carrier](call(name(module, attribute), text(str(marker)))), f"{module}.{attribute}.*was run")


def instructions(marker):
    """Return every way a pickle has to name and to call."""
    path, function = text(str(marker)), name("posix", "mkdir")
    stacked = text("posix") + text("mkdir") + b"\x93"
    allowed = name("collections", "OrderedDict")
    return {
        "GLOBAL, REDUCE": function + b"(" + path + b"tR",
        "STACK_GLOBAL": stacked + path + b"\x85R",
        "INST": b"(" + path + b"iposix\nmkdir\n",
        "OBJ": b"(" + function + path + b"o",
        "OBJ, allowed name": b"(" + allowed + path + b"o",
        "NEWOBJ": function + path + b"\x85\x81",
        "NEWOBJ, allowed name": allowed + b")\x81",
        "NEWOBJ_EX": allowed + b")}\x92",
        "NEWOBJ_EX, named": function + path + b"\x85}\x92",
        "BUILD, slots": allowed + b")R}" + text("__class__") + allowed + b"sb",
        "BUILD, setstate": allowed + b")R}" + text("__setstate__") + function + b"sb" + path + b"b",
        "BUILD, a name": allowed + b"}" + text("fromkeys") + allowed + b"sb",
        "BUILD, a dict": b"}}" + text("a") + b"Nsb",
        "REDUCE, no name": path + b")R",
        "REDUCE, a mark": name("torch", "FloatStorage") + b")R",
        "REDUCE, ndarray": name("numpy", "ndarray") + tup(tup(number(2**40))) + b"R",
        "REDUCE, no tuple": allowed + path + b"R",
        "PERSID": b"Pposix.mkdir\n",
        "BINPERSID": tup(text("posix.mkdir")) + b"Q",
        "BINPERSID, no tuple": path + b"Q",
        "EXT1": b"\x82\x01",
        "EXT2": b"\x83\x01\0",
        "EXT4": b"\x84\x01\0\0\0",
        "NEXT_BUFFER": b"\x97",
        "READONLY_BUFFER": b"\x98",
        "protocol 0": b"Vtext\n",
        "a second PROTO": b"\x80\x02N",
        "unknown": b"\xff",
        "encode": call(name("_codecs", "encode"), path, text("rot13")),
        "encode, zip": call(name("_codecs", "encode"), path, text("zlib")),
        "bytes": call(name("builtins", "bytes"), number(2**40)),
        "set": call(name("builtins", "set"), path),
        "memo": function + b"q\0h\0" + path + b"\x85R",
    }


@pytest.mark.parametrize("kind", instructions(""))
@pytest.mark.parametrize("carrier", ["plain", "torch zip", "legacy, object"])
def test_every_way_to_call(refused, marker, carrier, kind):
    refused(CARRIERS[carrier](instructions(marker)[kind]), "pickle: found")


def test_the_payloads_are_live(marker):
    pickle.loads(whole(instructions(marker)["GLOBAL, REDUCE"]))
    assert marker.is_dir()
    marker.rmdir()
    pickle.loads(whole(instructions(marker)["INST"]))
    marker.rmdir()


def test_a_name_is_shown_in_one_line(refused):
    refused(whole(text("a\n\x1b[31m") + text("b" * 500) + b"\x93"), r"a\\n\\x1b\[31m\.b{20}")


def test_what_lies_behind_the_end_is_not_run(refused, marker):
    evil = whole(call(name("posix", "mkdir"), text(str(marker))))
    good = whole(items([("a", tensor())]))
    refused(torch_zip(good + evil), "bytes behind its end")
    plain = pickle.dumps({"a": __import__("numpy").zeros(2)}, 4)
    refused(plain + evil, "bytes behind its end")
    refused(torch_legacy(state_dict(a=tensor(storage(rest=[b"N"])))) + evil, "bytes behind the last storage")


def laughs(level):
    """Return nested lists, each of which holds the one before twice."""
    return b"]q\0" + b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(level))


def laughing_dicts(level):
    parts = [items([("x", tensor())]) + b"q\0"]
    for i in range(level):
        known = b"h" + bytes([i])
        parts.append(items([("a", known), ("b", known)]) + b"q" + bytes([i + 1]))
    return b"".join(parts)


def long_names(count):
    """Return a dictionary below a long name that many others share: names far longer than the file."""
    inner = b"}q\0(" + b"".join(text(str(i)) + b"]" for i in range(count)) + b"u0"
    return inner + b"}(" + b"".join(text(f"{i:04}" + "n" * 900) + b"h\0" for i in range(60)) + b"u"


def again(start, step, count):
    """Return a list of `count` things made by `step` from what `start` remembers as the first."""
    return b"](" + start + b"q\x000" + step * count + b"e"


LONG = b"(" + b"K\x01" * 20_000
KEYS = b"}(" + b"".join(text(f"{i}") + b"N" for i in range(20_000)) + b"u"
WIDE_TEXT = b"X" + struct.pack("<I", 1 << 18) + b"a" * (1 << 18)
REPEATED = {
    "a long list as a size": again(LONG + b"l", call(name("torch", "Size"), b"h\0"), 3000),
    "a long tuple as a size": again(LONG + b"t", call(name("torch", "Size"), b"h\0"), 3000),
    "a long state": again(KEYS, name("collections", "OrderedDict") + b")Rh\0b", 3000),
    "a long state of a tensor": again(KEYS, name("megengine.tensor", "Tensor") + b")\x81h\0b", 3000),
    "a long text to encode": again(WIDE_TEXT, call(name("_codecs", "encode"), b"h\0", text("latin1")), 5000),
    "a text to encode": again(text("a" * 60_000), call(name("_codecs", "encode"), b"h\0", text("latin1")), 3000),
    "a long list in a list": again(LONG + b"l", b"h\0", 40_000),
    "a long dictionary in a list": again(KEYS, b"h\0", 40_000),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", REPEATED)
@pytest.mark.usefixtures("quick")
def test_the_same_again_and_again(refused, kind):
    refused(whole(REPEATED[kind]), "pickle: found")


LIMITS = {
    "laughing lists": laughs(200),
    "laughing dictionaries": laughing_dicts(60),
    "itself in a list": b"]q\0h\0a",
    "itself in a dictionary": b"}q\0" + text("a") + b"h\0s",
    "100,000 lists inside each other": b"]" * 50_000 + b"a" * 49_999,
    "100,000 tuples inside each other": b"N" + b"\x85" * 100_000,
    "30,000 dictionaries inside each other": b"}" + b"".join([b"q\0}" + text("a") + b"h\0s"] * 30_000),
    "100,000 marks": b"(" * 100_000,
    "100,000 tuples at the end": b"(" * 250 + b"t" * 250,
    "many objects": b"(" + b"]" * 200_000 + b"t",
    "many dropped": b"]" + b"]0" * 100_000,
    "many in a list": b"]" + b"}a" * 100_000,
    "small numbers": b"]" + (b"(" + b"M\xff\xff" * 50_000 + b"e") * 3,
    "small texts": b"]" + b"\x8c\x02aba" * 60_000,
    "remembered": b"N" + b"\x94" * 100_000,
    "a place far off": b"Nr\xff\xff\xff\x7f",
    "a reference to nothing": b"j\xff\xff\xff\x7f",
    "2 GiB of text": b"X\xff\xff\xff\x7fabc",
    "2^63 of text": b"\x8d" + b"\xff" * 7 + b"\x7fabc",
    "2^64 of bytes": b"\x8e" + b"\xff" * 8,
    "4 GiB of bytes": b"B\xff\xff\xff\xff",
    "2^63 of a bytearray": b"\x96" + b"\xff" * 7 + b"\x7f",
    "a frame of 2^63": b"\x95" + b"\xff" * 7 + b"\x7fN",
    "a number of 2 GiB": b"\x8b\xff\xff\xff\x7f\x01",
    "a number of 255 bytes": b"\x8a\xff" + b"\x7f" * 255,
    "a number of negative length": b"\x8b\xff\xff\xff\xff",
    "equal hashes": b"}(" + b"".join(number((2**61 - 1) * (i + 1)) + b"N" for i in range(30_000)) + b"u",
    "keys that are lists": b"}]Ns",
    "keys that are deep": b"}N" + b"\x85" * 50_000 + b"Ns",
    "a name without end": b"c" + b"a" * 100_000,
    "a long name": items([("n" * 5000, tensor())]),
    "names that grow": long_names(2000),
    "nothing": b"",
    "too few": b"\x85",
    "too few for a call": b"R",
    "through a mark": b"N(0a",
    "a mark left": b"N(",
    "an odd dictionary": b"(Nd",
    "items of a list": b"]NNs",
    "items of nothing": b"NNNs",
    "an item of a dictionary": b"}Na",
    "two objects": b"NN",
    "broken UTF-8": b"X\x02\0\0\0\xff\xfe",
    "a surrogate": b"X\x03\0\0\0\xed\xa0\x80",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.usefixtures("quick")
def test_limits(refused, kind):
    refused(whole(LIMITS[kind]), "pickle: found|two tensors")


@pytest.mark.usefixtures("quick")
def test_a_pickle_that_goes_on_and_on(tmp_path, tolerant_read):
    (tmp_path / "a").write_bytes(whole(b"N0" * 1_100_000))
    assert tolerant_read(tmp_path / "a") is None


HUGE = 2**60
BAD_TENSORS = {
    "beyond its storage": tensor(offset=1),
    "far beyond": tensor(offset=HUGE),
    "by its steps": tensor(stride=(3, 1)),
    "by its sizes": tensor(size=(2, 3)),
    "a negative start": tensor(offset=-1),
    "a negative size": tensor(size=(-2, -2)),
    "a negative step": tensor(stride=(-2, 1)),
    "2^60 elements from one": tensor(size=(HUGE,), stride=(0,)),
    "2^40 elements from one": tensor(size=(2**20, 2**19), stride=(0, 0)),
    "2^26 elements from one": tensor(size=(2**26,), stride=(0,)),
    "sizes whose product wraps": tensor(size=(2**32, 2**32, 4), stride=(0, 0, 1)),
    "sizes beyond 64 bits": tensor(size=(2**100,), stride=(0,)),
    "steps beyond 64 bits": tensor(stride=(2**100, 1)),
    "more sizes than steps": tensor(size=(2, 2), stride=(1,)),
    "33 axes": tensor(size=(1,) * 33, stride=(1,) * 33),
    "sizes that are numbers with points": tensor(size=(2.0, 2.0)),
    "sizes that are flags": tensor(size=(True, True)),
    "a start that is a flag": call(
        name("torch._utils", "_rebuild_tensor_v2"), storage(), b"\x88", numbers([1]), numbers([1]), b"\x89", b"}"
    ),
    "no storage": tensor(b"N"),
    "a tensor as storage": tensor(tensor()),
    "too few parts": call(name("torch._utils", "_rebuild_tensor_v2"), storage(), number(0)),
    "too many parts": call(name("torch._utils", "_rebuild_tensor"), *[storage()] * 9),
    "an untyped storage": tensor(storage(kind="UntypedStorage", module="torch.storage", numel=16)),
    "a type that is none": call(
        name("torch._utils", "_rebuild_tensor_v3"),
        *(storage(), number(0), numbers([4]), numbers([1]), b"\x89", ORDERED_DICT := b"}", text("float32")),
    ),
    "a parameter of nothing": call(name("torch._utils", "_rebuild_parameter"), b"N", b"\x88", b"}"),
    "a size of text": call(name("torch", "Size"), text("ab")),
    "a storage that is short": tensor(storage(numel=5)),
    "a storage that is long": tensor(storage(numel=3)),
    "a storage of 2^61": tensor(storage(numel=2**61)),
    "a storage of negative length": tensor(storage(numel=-4)),
    "a storage of another type": tensor(storage(kind="DoubleStorage")),
    "a storage that is absent": tensor(storage(key="1")),
    "a storage by a path": tensor(storage(key="../data.pkl")),
    "a storage out of the archive": tensor(storage(key="../../../etc/passwd")),
    "a storage of another class": tensor(tup(text("storage"), ORDERED_DICT, text("0"), text("cpu"), number(4)) + b"Q"),
    "a storage without a number": tensor(tup(text("storage"), name("torch", "FloatStorage"), text("0")) + b"Q"),
    "something else by reference": tensor(tup(text("file"), text("/etc/passwd")) + b"Q"),
}


@pytest.mark.parametrize("kind", BAD_TENSORS)
@pytest.mark.usefixtures("quick")
def test_tensors_that_lie(refused, kind):
    refused(torch_zip(whole(items([("good", tensor()), ("bad", BAD_TENSORS[kind])]))), "found")


@pytest.mark.parametrize(
    ("rest", "match"),
    [
        ([b"N", b"N"], "reference to something else"),
        ([number(1)], "view of a storage of other parts"),
        ([tup(text("7"), number(3), number(2))], "view that ends at byte 20"),
        ([tup(text("7"), number(-1), number(2))], "view of a storage of other parts"),
        ([tup(text("7"), number(1), number(1))], "reaches element 3"),
    ],
)
def test_legacy_storages_that_lie(refused, rest, match):
    refused(torch_legacy(state_dict(a=tensor(storage(rest=rest)))), match)


GOOD_LEGACY = state_dict(a=tensor(storage(rest=[b"N"])))


@pytest.mark.parametrize(
    ("storages", "keys", "match"),
    [
        ({"0": (4, SIXTEEN[:-1])}, None, "16 with 15 bytes left"),
        ({"0": (3, SIXTEEN)}, None, "3 elements"),
        ({"0": (-4, SIXTEEN)}, None, "-4 elements"),
        ({"0": (2**62, SIXTEEN)}, None, "elements in storage"),
        ({"0": (4, SIXTEEN), "1": (4, SIXTEEN)}, None, "2 storages listed"),
        ({}, None, "0 storages listed"),
        ({"0": (4, SIXTEEN)}, ["0", "0"], "2 storages listed"),
        ({"0": (4, SIXTEEN)}, [7], "other things than keys"),
        ({"0": (4, SIXTEEN)}, "0", "other things than keys"),
    ],
)
def test_legacy_files_that_lie(refused, storages, keys, match):
    refused(torch_legacy(GOOD_LEGACY, storages, keys), match)


def test_one_legacy_storage_described_twice(refused):
    other = tensor(storage(kind="IntStorage", rest=[b"N"]))
    refused(torch_legacy(state_dict(a=tensor(storage(rest=[b"N"])), b=other)), "two descriptions")


F4 = text("f4")


def array(size=(2,), code=F4, order="<", raw=b"C\x08" + bytes(8), state=None):
    kind = call(name("numpy", "dtype"), code, b"\x89", b"\x88")
    kind += (state or tup(number(3), text(order), b"NNN", number(-1), number(-1), number(0))) + b"b"
    shell = call(name("numpy._core.multiarray", "_reconstruct"), name("numpy", "ndarray"), tup(number(0)), b"C\x01b")
    return shell + tup(number(1), numbers(size), kind, b"\x89", raw) + b"b"


BAD_ARRAYS = {
    "too large": array((3,)),
    "too small": array((1,)),
    "2^60 elements": array((HUGE,)),
    "2^60 elements of none": array((HUGE, 0, HUGE)),
    "a negative size": array((-2,)),
    "34 axes": array((1,) * 34),
    "objects": array(code=text("O")),
    "objects in a list": array(code=text("O8"), raw=b"]"),
    "a list of numbers": array(raw=b"]"),
    "text beyond bytes": array(raw=text("\u0100" * 8)),
    "text for bytes": array(raw=b"X" + struct.pack("<I", 70_000) + b"a" * 70_000),
    "a field": array(state=tup(number(3), text("<"), b"N", tup(text("a")), b"}", number(8), number(4), number(0))),
    "a sub-array": array(state=tup(number(3), text("<"), tup(text("f4"), number(9)), b"NN", number(8))),
    "another order": array(order="x"),
    "a type of a number": array(code=number(4)),
    "unfinished": call(
        name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), tup(number(0)), b"C\x01b"
    ),
    "of another class": call(
        name("numpy.core.multiarray", "_reconstruct"), name("numpy", "dtype"), tup(number(0)), b"C\x01b"
    ),
    "a state too short": array() + tup(number(1), numbers((2,))) + b"b",
    "a scalar too long": call(
        name("numpy.core.multiarray", "scalar"), call(name("numpy", "dtype"), text("f4")), b"C\x08" + bytes(8)
    ),
    "a buffer in no order": call(
        name("numpy._core.numeric", "_frombuffer"),
        *(b"C\x08" + bytes(8), call(name("numpy", "dtype"), text("f4")), numbers((2,)), text("Q")),
    ),
    "a buffer in a wrong order": call(
        name("numpy._core.numeric", "_frombuffer"),
        *(b"C\x08" + bytes(8), call(name("numpy", "dtype"), text("f4")), numbers((2,)), text("K"), numbers((7,))),
    ),
    "a tensor unfinished": name("megengine.tensor", "Tensor") + b")\x81",
    "a tensor of text": name("megengine.tensor", "Tensor") + tup(text("a"), b"N", b"N") + b"\x81",
    "a tensor with methods": name("megengine.tensor", "Tensor") + b")\x81}" + text("__class__") + b"Nsb",
}


@pytest.mark.parametrize("kind", BAD_ARRAYS)
@pytest.mark.usefixtures("quick")
def test_arrays_that_lie(refused, kind):
    refused(whole(items([("good", array()), ("bad", BAD_ARRAYS[kind])])), "found")


def flip(content, find, by=0):
    at = content.index(find) + by
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


GOOD = torch_zip(state_dict(a=tensor()))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (flip(GOOD, SIXTEEN, 3), "data/0 of another checksum"),
        (flip(GOOD, b"cpu"), "data.pkl of another checksum"),
        (GOOD[:-1], "no end record"),
        (torch_zip(state_dict(a=tensor()), more=[("b/data.pkl", whole(b"N"))]), "2 members named data.pkl"),
        (torch_zip(state_dict(a=tensor()), more=[("../evil", b"")]), r"a member named \.\./evil"),
        (torch_zip(state_dict(a=tensor()), more=[("/etc/evil", b"")]), "a member named /etc/evil"),
        (torch_zip(state_dict(a=tensor()), more=[("a\\..\\b", b"")]), "a member named"),
        (torch_zip(state_dict(a=tensor()), more=[("archive/byteorder", b"middle")]), "another byte order"),
        (torch_zip(state_dict(a=tensor()), more=[("archive/byteorder", b"little" * 9)]), "another byte order"),
        (torch_zip(b""), "no end"),
        (torch_zip(state_dict(a=tensor()), more=[("a.npy", b"")]), "no array|npy header"),
    ],
)
def test_archives_that_lie(refused, content, match):
    refused(content, match)


def member(path, data, **fields):
    return {"name": path, "data": data, **fields}


def test_archives_with_lying_directories(refused, zips):
    raw_zip = zips[1]
    pickled = member("a/data.pkl", state_dict(a=tensor()))
    numbers_ = member("a/data/0", SIXTEEN)
    assert raw_zip([pickled, numbers_])
    refused(raw_zip([pickled, pickled, numbers_]), "two members")
    refused(raw_zip([pickled, numbers_ | {"flags": 1}]), "encrypted")
    refused(raw_zip([pickled, numbers_ | {"method": 12}]), "method 12")
    refused(raw_zip([pickled, numbers_ | {"size": 2**31}]), "a size that its packing allows")
    refused(raw_zip([pickled, numbers_ | {"begin": 0}]), "another header")


@pytest.mark.usefixtures("quick")
def test_bombs(refused):
    refused(torch_zip(whole(b"N0" * 5_000_000 + b"N"), deflated=True), "unpacks to 10000004 bytes")
    body = state_dict(a=tensor(storage(numel=2**25), size=(2**25,), stride=(1,)))
    bomb = torch_zip(body, {"0": bytes(2**27)}, deflated=True)
    assert len(bomb) < 2**18
    refused(bomb, "found|cannot")


CARRIED = {
    "torch zip": GOOD,
    "legacy": torch_legacy(GOOD_LEGACY),
    "arrays": whole(items([("a", array()), ("b", array(order=">"))])),
    "protocol 5": pickle.dumps({"a": __import__("numpy").arange(4.0)}, 5),
    "lucid 2": lucid2(items([("a", array())])),
}


@pytest.mark.parametrize("kind", CARRIED)
def test_cut_short_anywhere(tmp_path, tolerant_read, kind):
    content = CARRIED[kind]
    path = tmp_path / "a.bin"
    for length in range(0, len(content), 1 + len(content) // 150):
        path.write_bytes(content[:length])
        assert tolerant_read(path) is None, length


def mutate(chance, content):
    out = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(out))
        match chance.randrange(6):
            case 0:
                out[at] ^= 1 << chance.randrange(8)
            case 1:
                out[at] = chance.randrange(256)
            case 2:
                out[at:at] = chance.choice((b"h\0", b"q\x05", b"R", b"b", b"(", b"t", b"0", b"2", b"\x94", b"\x81"))
            case 3:
                del out[at : at + chance.randrange(1, 9)]
            case 4:
                out[at : at + 4] = chance.choice((b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f"))
            case 5:
                other = chance.randrange(len(out))
                out[at:at] = out[other : other + chance.randrange(1, 40)]
    return bytes(out)


def fuzz(path, tolerant_read, seed, rounds):
    """Mutate the pickles, then put them back into whole carriers, so that a checksum does not end it at once."""
    chance = random.Random(seed)
    inner = state_dict(a=tensor(), b=items([("c", tensor(size=(4,), stride=(1,)))]))
    for _ in range(rounds):
        match chance.randrange(4):
            case 0:
                content = torch_zip(mutate(chance, inner))
            case 1:
                content = torch_legacy(mutate(chance, GOOD_LEGACY))
            case _:
                content = mutate(chance, CARRIED[chance.choice(list(CARRIED))])
        path.write_bytes(content)
        tolerant_read(path)


def test_mutations(tmp_path, tolerant_read):
    fuzz(tmp_path / "a.bin", tolerant_read, 1, 1500)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 8))
def test_many_mutations(tmp_path, tolerant_read, seed):
    fuzz(tmp_path / "a.bin", tolerant_read, seed, 12_000)
