"""Of two summands the later one comes first, whatever the spec says and whichever results are asked for."""

import pytest

from .test_passes import CONV, graph_of

SAME = {**CONV, "padding": 1}
STAGES = [{**SAME, "name": "a"}, {**SAME, "name": "b", "input": "a"}]


@pytest.mark.parametrize("outputs", [["sum"], ["sum", "a", "b"]])
@pytest.mark.parametrize(
    ("inputs", "ordered"),
    [(["a", "b"], ("b", "a")), (["b", "a"], ("b", "a")), (["a", "b", "a"], ("a", "b", "a")), (["a", "a"], ("a", "a"))],
)
def test_a_sum_of_two_reads_the_later_one_first(inputs, ordered, outputs):
    graph = graph_of([*STAGES, {"op": "Add", "name": "sum", "inputs": inputs}], outputs)
    assert graph.node("sum").inputs == ordered


def test_a_stage_that_changes_nothing_counts_where_it_stood():
    late = {"op": "Identity", "name": "late", "input": "a"}
    stages = [*STAGES, late, {"op": "Add", "name": "sum", "inputs": ["b", "late"]}]
    assert graph_of(stages).node("sum").inputs == ("a", "b")
    assert graph_of(stages, ["sum", "late"]).node("sum").inputs == ("late", "b")
