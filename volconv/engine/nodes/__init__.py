"""What runs a node of a graph: a file for each family of operators, found by `Op.kernel` in `registry`.

A family is a module of two functions: ``kernels(node, plan)`` names the compiled kernels it needs, ``bind(node, plan)``
returns a `base.BoundNode`. Its oracle stands in `volconv.engine.naive_nodes`.
"""
