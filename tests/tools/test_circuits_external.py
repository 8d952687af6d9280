"""Circuits of models that nobody here built, against what is published of them and against second roads.

Three parts: addition modulo 113, whose Fourier circuit is known (Nanda et al. 2023); the story model's choice between
she and he; and the pairs of indirect object identification (Wang et al. 2022) and greater-than (Hanna et al. 2023).
Those pairs were made for models that read any English text, and none is here: only the form of the files is held, and
that prompts as long as these go through the instruments.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from modular_addition import MODULUS, Addition, addition, own_logits
from published_pairs import published_pairs, random_reader_of, rows_of
from vesalius.tools import CircuitGraph, Pair, Subject, load_subject, one_thread
from vesalius.tools._circuit_families import Family
from vesalius.tools._circuit_results import ScoresResult
from vesalius.tools.circuit_search import CircuitSearchArgs, circuit_search
from vesalius.tools.eap import EapArgs, eap
from vesalius.tools.eap_ig import EapIgArgs, eap_ig
from vesalius.tools.patch import PatchArgs, patch
from vesalius.tools.path_patch import PathPatchArgs, PathPatchResult, path_patch
from vesalius.tools.subspace_patch import SubspacePatchArgs, subspace_patch

pytestmark = pytest.mark.external
SEEDS = (0, 1, 2)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(params=SEEDS)
def adding(request: pytest.FixtureRequest, external: Path) -> Addition:
    """The addition models in turn."""
    return addition(external / "models" / "modadd113", request.param)


def test_the_gpt2_made_of_an_addition_model_says_what_that_model_says(adding):
    assert (adding.logits - own_logits(adding.w, adding.ids)).abs().max() < 1e-3
    assert (adding.logits.argmax(-1) == adding.due).float().mean() > 0.999


def test_few_frequencies_carry_the_sum_and_they_are_those_of_the_embedding(adding):
    """Found in what the MLP says of sums; second road: what the embedding has of single numbers."""
    key, shares = adding.key, dict(zip(range(1, 57), adding.shares().tolist(), strict=True))
    assert len(key) in (4, 5)
    assert sum(shares[k] for k in adding.others) < 0.03 * sum(shares[k] for k in key)
    strongest = 1 + adding.embedded().topk(len(key)).indices
    assert sorted(strongest.tolist()) == list(key)
    renamed = torch.randperm(MODULUS, generator=torch.Generator().manual_seed(1))
    assert adding.shares(renamed[adding.ids[:, :2]].sum(1) % MODULUS).max() < min(shares[k] for k in key) / 2


def test_every_key_frequency_is_needed_all_of_them_are_enough_and_no_other_matters(adding):
    clean, written = adding.judged(adding.mlp_out), adding.mlp_out
    assert adding.judged(written.clone()) == clean
    for k in adding.key:
        without = adding.judged(written - adding.part([k]))
        assert without.loss > clean.loss + 0.02
        assert without.accuracy < clean.accuracy
    assert adding.judged(written - adding.part(adding.key)).accuracy < 3 / MODULUS
    assert adding.judged(written - adding.part(adding.others)).accuracy > 0.99
    assert adding.judged(written.mean(0) + adding.part(adding.key)).accuracy > 0.99
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        drawn = torch.randperm(len(adding.others), generator=generator)[: len(adding.key)]
        without = adding.judged(written - adding.part(adding.others[i] for i in drawn.tolist()))
        assert without.loss < clean.loss + 0.01
        assert without.accuracy > clean.accuracy - 0.002


def _two_sums(a: int, b: int, other: int) -> Pair:
    answer, foil = (str((a + second) % MODULUS) for second in (b, other))
    return Pair(base=f"{a} {b} =", corrupted=f"{a} {other} =", answer=answer, foil=foil)


def test_the_answer_moves_with_the_directions_of_the_key_frequencies_and_not_with_all_others(adding):
    drawn = torch.randint(MODULUS, (24, 3), generator=torch.Generator().manual_seed(2)).tolist()
    pairs = tuple(_two_sums(*row) for row in drawn)
    key = adding.basis(adding.key)
    rest = torch.linalg.svd(key)[2][len(key) :]
    carries, carries_not = (
        subspace_patch(
            adding.subject,
            SubspacePatchArgs(pairs=pairs, site="mlp_out.0", direction="given", vectors=tuple(map(tuple, some))),
        )
        for some in (key.tolist(), rest.tolist())
    )
    cell, other = carries.cells[0], carries_not.cells[0]
    assert len(key) <= 8  # of 132; waves of one frequency share a direction in one model
    assert all(carries.clean_correct)
    assert cell.component.effect > 0.95
    assert cell.subspace.effect > 0.85
    assert cell.verdict == "holds"
    assert max(map(abs, cell.random_effects + cell.random_pushes)) < 0.2
    assert other.subspace.effect < 0.1
    assert other.subspace.moved == 0
    assert other.verdict in ("no_effect", "not_above_random")
    assert cell.subspace.effect + other.subspace.effect == pytest.approx(cell.component.effect, abs=1e-3)


SENTENCES = (
    ("One day, {} went to the park.", "She", "He"),
    ("{} was very happy.", "She", "He"),
    ("{} was sad because", "she", "he"),
    ("{} said that", "she", "he"),
    ("{} was so happy that", "she", "he"),
    ("One day, {} found a ball when", "she", "he"),
)
NAMES = (("Lily", "Tim"), ("Sue", "Max"))  # as many tokens each: one, and three
MOVER = "head.4.2"  # the head that hands the name's gender on to the last token


class Pronouns(NamedTuple):
    """The story model's behaviour: she after a girl's name, he after a boy's."""

    subject: Subject
    families: tuple[Family, ...]
    exact: tuple[PathPatchResult, ...]  # by family, every link measured

    def effects(self) -> torch.Tensor:
        """Measured effect of every link, by family."""
        return torch.tensor([[cell.effect for cell in one.cells] for one in self.exact])

    def pearson(self, scores: ScoresResult) -> list[float]:
        """By family: correlation of every link's score with its measured effect."""
        of = {(one.source, one.slot): [family.effect for family in one.families] for one in scores.scored}
        scored = torch.tensor([of[link] for link in CircuitGraph(self.subject.shape).links]).T
        both = zip(scored, self.effects(), strict=True)
        return [torch.corrcoef(torch.stack(pair))[0, 1].item() for pair in both]


@cache
def _pronouns(folder: Path) -> Pronouns:
    subject = load_subject(str(folder), device="cpu")
    she, he = [], []
    for sentence, her, his in SENTENCES:
        for girl, boy in NAMES:
            one, two = sentence.format(girl), sentence.format(boy)
            she.append(Pair(base=one, corrupted=two, answer=her, foil=his, cluster=sentence))
            he.append(Pair(base=two, corrupted=one, answer=his, foil=her, cluster=sentence))
    families = Family(name="she", pairs=tuple(she)), Family(name="he", pairs=tuple(he))
    exact = tuple(path_patch(subject, PathPatchArgs(pairs=family.pairs)) for family in families)
    return Pronouns(subject, families, exact)


@pytest.fixture
def pronouns(external: Path) -> Pronouns:
    """Measured once."""
    return _pronouns(external / "models" / "stories260k-hf")


def test_the_story_model_says_she_of_girls_and_he_of_boys(pronouns):
    for family, exact in zip(pronouns.families, pronouns.exact, strict=True):
        result = patch(pronouns.subject, PatchArgs(pairs=family.pairs, sites=(MOVER,)))
        assert all(result.clean_correct)  # the most likely of all words
        assert min(result.clean) > 1
        assert max(result.corrupted) < -1
        assert exact.gap == pytest.approx(result.gap)
        assert exact.gap > 5
        assert exact.spot_difference < 1e-4


def test_a_head_that_looks_at_the_name_carries_most_of_the_pronoun_and_patching_its_links_is_patching_it(pronouns):
    """Second road: in the last block, what a head adds after the last token is read by its two links alone."""
    subject = pronouns.subject
    for family in pronouns.families:
        cell = patch(subject, PatchArgs(pairs=family.pairs, sites=(MOVER,))).cells[0]
        links = (f"{MOVER}->mlp_in.4", f"{MOVER}->logits")
        joint = path_patch(subject, PathPatchArgs(pairs=family.pairs, links=links, joint=True)).cells[0]
        assert joint.effects == pytest.approx(cell.effects, abs=1e-4)
        assert cell.effect > 0.7
        single = [p for p in family.pairs if "Lily" in p.base or "Tim" in p.base]
        run = subject.run(subject.tokenise([p.base for p in single]), read=["pattern.4"])
        for row, pair in enumerate(single):
            words = subject.token_strings(subject.reader.encode(pair.base))
            name = next(i for i, word in enumerate(words) if word.strip() in ("Lily", "Tim"))
            assert run.sites["pattern.4"][row, 2, len(words) - 1, name] > 0.5


def test_scores_of_pronoun_links_follow_their_measured_effects_and_integrated_gradients_most(pronouns):
    n_links = len(pronouns.exact[0].cells)
    integrated = eap_ig(pronouns.subject, EapIgArgs(families=pronouns.families, top=n_links, check=0))
    plain = eap(pronouns.subject, EapArgs(families=pronouns.families, top=n_links, check=0))
    assert all(family.complete == pytest.approx(1, abs=0.02) for family in integrated.families)
    for better, worse in zip(pronouns.pearson(integrated), pronouns.pearson(plain), strict=True):
        assert better > 0.93
        assert 0.7 < worse < better


def test_a_small_circuit_carries_the_pronoun_that_nothing_else_can_say(pronouns):
    """It keeps two thirds and more alone; without it nothing is left, and random circuits of its size do neither."""
    asked = CircuitSearchArgs(
        families=pronouns.families, threshold=0.01, slots=False, backups=False, resamples=50, random_draws=5
    )
    result = circuit_search(pronouns.subject, asked)
    assert 0.03 < result.n_circuit / result.n_links < 0.1
    assert min(result.faithfulness) > 0.6
    assert max(map(abs, result.complement)) < 0.05
    assert max(map(abs, result.random_faithfulness)) < 0.05
    assert min(result.random_complement) > 0.6
    assert result.cmd < 0.1
    assert next(p.faithfulness for p in result.curve if p.n_links > result.n_links / 4) == pytest.approx(1, abs=0.1)
    assert result.jaccard is not None
    assert result.jaccard > 0.7
    assert (result.links[0].source, result.links[0].slot) == (MOVER, "logits")
    exact = pronouns.effects()
    due = exact.gather(0, exact.abs().argmax(0)[None])[0]
    assert torch.corrcoef(torch.stack([torch.tensor(result.scores), due]))[0, 1] > 0.96


def test_published_pairs_are_read_as_pairs_of_equal_length_that_differ_in_one_word(external):
    pairs = published_pairs(external)
    assert {name: len(some) for name, some in pairs.items()} == {"objects": 499, "years": 1000}
    subject = random_reader_of(pairs)
    for name, lengths in (("objects", {14, 15, 17, 18, 19, 20}), ("years", {12})):
        base = subject.tokenise([pair.base for pair in pairs[name]])
        corrupted = subject.tokenise([pair.corrupted for pair in pairs[name]])
        assert base.lengths == corrupted.lengths
        assert set(base.lengths) == lengths
        assert ((base.ids != corrupted.ids).sum(1) == 1).all()


def test_published_answers_name_persons_one_by_one_and_years_that_follow(external):
    pairs, rows = published_pairs(external), rows_of(external, "ioi_llama.csv")
    ids: dict[str, set[str]] = {}
    for pair, row in zip(pairs["objects"], rows, strict=True):
        ids.setdefault(pair.answer, set()).add(row["correct_idx"])
        ids.setdefault(pair.foil, set()).add(row["incorrect_idx"])
    assert len(ids) == len({frozenset(some) for some in ids.values()}) == 99
    assert all(len(some) == 1 for some in ids.values())
    for pair in pairs["years"]:
        century, year = re.findall(r"(\d\d)(\d\d) to the year \1", pair.base)[0]
        assert int(pair.foil) <= int(year) < int(pair.answer) < 100
        assert f"{century}01 to" in pair.corrupted


@pytest.mark.parametrize("name", ["objects", "years"])
def test_published_pairs_go_through_the_instruments_on_a_random_model(external, name):
    """Second roads: cutting all links of the start runs the counterfactual; a head of the last block is its links."""
    pairs = published_pairs(external)
    subject, some = random_reader_of(pairs), pairs[name][::100][:4]
    every = path_patch(subject, PathPatchArgs(pairs=some))
    assert every.spot_difference < 1e-3
    graph = CircuitGraph(subject.shape)
    start = tuple(f"{node}->{slot}" for node, slot in graph.links if node == "embed")
    none = path_patch(subject, PathPatchArgs(pairs=some, links=start, joint=True)).cells[0]
    assert none.effect == pytest.approx(1, abs=1e-4)
    links = ("head.1.2->mlp_in.1", "head.1.2->logits")
    joint = path_patch(subject, PathPatchArgs(pairs=some, links=links, joint=True)).cells[0]
    whole = patch(subject, PatchArgs(pairs=some, sites=("head.1.2",))).cells[0]
    assert joint.effects == pytest.approx(whole.effects, abs=1e-4)
    families = (Family(name=name, pairs=some),)
    result = eap_ig(subject, EapIgArgs(families=families, check=20, most_steps=135))
    assert result.families[0].complete == pytest.approx(1, abs=0.05)
    single = {tuple(cell.links[0].split("->")): cell.effect for cell in every.cells}
    checked = [one for one in result.scored if one.families[0].measured is not None]
    assert len(checked) == 20
    for one in checked:
        assert one.families[0].measured == pytest.approx(single[one.source, one.slot], abs=1e-4)
