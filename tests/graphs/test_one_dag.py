"""One directed graph of whatever was found, and generated sites that stay as usual."""

import numpy as np

from brainct.causal.generator import draw, random_graph
from brainct.graphs.cpdag import acyclic, extension, one_dag


def test_a_graph_that_is_no_class_has_a_dag_with_its_sure_directions():
    square = np.zeros((4, 4), np.int8)
    for i, j in ((0, 1), (1, 2), (2, 3), (3, 0)):
        square[i, j] = square[j, i] = 1
    square[1, 0] = 0
    found = one_dag(square)
    assert acyclic(found)
    assert found[0, 1]
    assert np.array_equal(found | found.T, square | square.T)
    chain = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.int8)
    assert np.array_equal(one_dag(chain), extension(chain))


def test_sites_at_the_front_have_no_changes():
    graph = random_graph(6, 2.0, 1)
    drawn = draw(graph, [50] * 6, 1, 1, usual=4)
    assert {site for _, site in drawn.changed} == {4, 5}
    assert {site for _, site in draw(graph, [50] * 6, 1, 1).changed} == {1, 2, 3, 4, 5}
