"""Contrast pairs by cluster."""

from vesalius.agent.planners._clusters import clustered, together
from vesalius.agent.planners.interface import ContrastPair


def pair(clean: str, corrupted: str, cluster: str = "") -> ContrastPair:
    return ContrastPair(clean=clean, corrupted=corrupted, answer="x", foil="y", cluster=cluster)


def test_a_pair_and_the_same_the_other_way_round_are_one_piece_of_evidence():
    named = together(clustered([pair("a b", "c d"), pair("c  d", "a b"), pair("h", "e f"), pair("e f", "g", "own")]))
    assert named[0].cluster == named[1].cluster
    assert len({one.cluster for one in named}) == 3


def test_clusters_that_share_such_a_pair_are_one():
    named = together([pair("a", "b", "one"), pair("c", "d", "one"), pair("b", "a", "two"), pair("e", "f", "two")])
    assert len({one.cluster for one in named}) == 1
