"""Files that are none: each is called by its name."""

import gzip
import io
import tarfile

import numpy as np
import pytest


def tar_bytes():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return out.getvalue()


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
        (gzip.compress(b"abc", mtime=0), "gzip stream"),
        (tar_bytes(), "tar archive.*before 0.1.10"),
        (b"MGBS" + bytes(40), "MegEngine graph dump.*megengine.save"),
        (b"MGBC" + bytes(40), "MegEngine graph dump"),
        (b"GGUF" + bytes(40), "GGUF"),
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
    refused(zips[0]([("m/data.pkl", b""), ("m/code/x.py", b""), ("m/constants.pkl", b"")]), "TorchScript.*state_dict")
    refused(zips[0]([("config.json", b"{}"), ("model.weights.h5", b"")]), "Keras archive.*unpack")
    refused(zips[0]([("word/document.xml", b"<a/>")]), "zip archive of other things")
