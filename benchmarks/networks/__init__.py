"""Whole processes, start to exit, on trained networks: volconv beside short scripts for PyTorch and OpenVINO.

`python -m benchmarks.networks` prints the table. The scripts are what someone would write who has the framework.
"""
