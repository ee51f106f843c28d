"""A scan to a label map with a MeshNet in PyTorch: ``torch_meshnet.py SCAN WEIGHTS OUT``."""

import sys

import nibabel as nib
import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

scan, weights, out = sys.argv[1:]
layers: list[nn.Module] = []
for dilation in (1, 2, 4, 8, 16, 8, 4, 2, 1):
    layers += [nn.Conv3d(5 if layers else 1, 5, 3, padding=dilation, dilation=dilation), nn.ReLU(inplace=True)]
net = nn.Sequential(*layers, nn.Conv3d(5, 3, 1))
net.load_state_dict({key.removeprefix("model."): tensor for key, tensor in load_file(weights).items()})

image = nib.load(scan)
volume = torch.from_numpy(np.asarray(image.dataobj, np.float32) / 255)
with torch.inference_mode():
    labels = net(volume[None, None]).argmax(1)[0]
nib.Nifti1Image(labels.numpy().astype(np.uint8), image.affine).to_filename(out)
