"""A scan to a label map with an ONNX model in OpenVINO: ``openvino_onnx.py SCAN MODEL OUT``."""

import sys

import nibabel as nib
import numpy as np
import openvino as ov

scan, model, out = sys.argv[1:]
image = nib.load(scan)
volume = np.asarray(image.dataobj, np.float32)[None, None] / 255
core = ov.Core()
net = core.read_model(model)
net.reshape(volume.shape)
labels = core.compile_model(net, "CPU")(volume)[0][0].argmax(0)
nib.Nifti1Image(labels.astype(np.uint8), image.affine).to_filename(out)
