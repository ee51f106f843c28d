"""Files that are none: each is called by its name."""

import gzip
import io
import pickle
import tarfile
from collections import OrderedDict

import numpy as np
import pytest


def tar_bytes():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return out.getvalue()


LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class Evil:
    def __reduce__(self):
        return print, ("this must never run",)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "empty file"),
        (bytes(5000), "nothing but zeros"),
        (b"x", "unknown format"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(100)), "unknown format"),
        (np.random.default_rng(0).bytes(3000), "unknown format"),
        (b"<!DOCTYPE html><html></html>", "HTML page"),
        (b"\xef\xbb\xbf\n  <HTML lang='en'>", "HTML page"),
        (b"<!-- a\nb -->\n<!doctype html>", "HTML page"),
        (b"<?xml version='1.0'?><Error/>", "XML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "Git LFS pointer.*git lfs pull"),
        (b'{"error": "not found"}', "JSON document"),
        (gzip.compress(b"abc"), "gzip stream"),
        (tar_bytes(), "tar archive"),
        (pickle.dumps(LEGACY_MAGIC, 2) + pickle.dumps(1001, 2), "before 1.6"),
        (pickle.dumps({"_lucid_format": 2, "obj": {}}, 4), "Lucid"),
        (pickle.dumps(OrderedDict(w=np.zeros(3)), 4), "MegEngine pickle"),
        (pickle.dumps({"w": 1}, 2), "Python pickle"),
        (pickle.dumps(Evil(), 2), "Python pickle"),
        (pickle.dumps(Evil(), 5), "Python pickle"),
        (b"\x80\x02ctorch.nn.modules.container\nSequential\n", "pickled module"),
        (b"MGBS" + bytes(40), "MegEngine graph dump"),
        (b"GGUF" + bytes(40), "GGUF"),
        (b"\x08\x08\x12\x07pytorch", "ONNX"),
        (b"\x5c\x01" + b"q" * 342 + b"n+1\0", "NIfTI"),
        (b"PK\x03\x04" + bytes(40), "zip archive.*cut short"),
        (b"\x89HDF\r\n", "unknown format"),
        (b"\x93NUM", "unknown format"),
    ],
)
def test_each_is_called_by_its_name(refused, capsys, content, match):
    refused(content, match)
    assert capsys.readouterr().out == ""


def test_zip_archives(refused, zips):
    pickled = pickle.dumps(Evil(), 2)
    refused(
        zips[0]([("archive/data.pkl", pickled), ("archive/data/0", bytes(8))]), "PyTorch zip archive: not supported"
    )
    refused(zips[0]([("m/data.pkl", b""), ("m/code/x.py", b""), ("m/constants.pkl", b"")]), "TorchScript")
    refused(zips[0]([("word/document.xml", b"<a/>")]), "zip archive of other things")
