"""Activations are streamed: in order, each once a round, and never more at once than the buffer holds."""

import random
import weakref

import pytest
import torch
from conftest import make_subject, random_model, word_tokenizer
from torch.utils._python_dispatch import TorchDispatchMode
from vesalius.tools import Subject, ToolError
from vesalius.tools._dictionary_stream import BLOCKS, REUSE, Buffer, Place, TextStream

SITES = ["resid_post.0", "mlp_out.2"]
TEXTS = [" ".join(f"w{(a * 7 + i) % 37}" for i in range(2 + a % 9)) for a in range(150)]


def stream(sites=SITES, texts=TEXTS, seed=0) -> TextStream:
    return TextStream(make_subject("llama"), sites, texts, seed)


def one_by_one(site: str, texts=TEXTS) -> torch.Tensor:
    """The values at every token, one text at a time."""
    subject = make_subject("llama")
    return torch.cat([subject.run(subject.tokenise([text]), read=[site]).sites[site][0] for text in texts])


@pytest.mark.parametrize("size", [7, 64, 10_000])
def test_each_token_is_read_once_in_order_however_many_are_read_at_a_time(size):
    chunks = list(stream().chunks(size))
    assert max(len(chunk[SITES[0]]) for chunk in chunks) <= size
    for site in SITES:
        assert torch.allclose(torch.cat([chunk[site] for chunk in chunks]), one_by_one(site), atol=1e-4)
    assert stream().n_tokens(10**6) == len(one_by_one(SITES[0]))
    assert stream().n_tokens(50) == 50


def test_a_place_says_where_to_go_on_bit_for_bit(monkeypatch):
    monkeypatch.setattr("vesalius.tools._dictionary_stream.LARGEST_PASS", 900)  # several passes for a group of texts
    source, n_tokens = stream(), stream().n_tokens(10**6)
    whole, draw = source.rows(n_tokens), random.Random(1)
    assert source.read(Place(), whole) == (n_tokens, Place(0, 128, sum(map(len, tokens_of(TEXTS[128:])))))
    at, done = Place(), 0
    while done < n_tokens:
        rows = source.rows(draw.randint(1, 90))
        read, at = source.read(at, rows)
        for site in SITES:
            assert torch.equal(rows[site][:read], whole[site][done : done + read])
        done += read
    end = Place(0, 128, 10**6)
    assert source.read(end, source.rows(5)) == (0, Place(1))


def tokens_of(texts):
    return [make_subject("llama").reader.encode(text) for text in texts]


def test_a_second_round_reads_the_same_texts_in_another_order():
    rounds = [stream().rows(stream().n_tokens(10**6)) for _ in range(3)]
    for number, rows in enumerate(rounds):
        stream(seed=1).read(Place(number), rows)
    totals = [rows[SITES[0]].double().sum(0) for rows in rounds]
    assert torch.allclose(totals[0], totals[1])
    assert len({rows[SITES[0]][:20].sum().item() for rows in rounds}) == 3


def test_a_buffer_that_holds_everything_is_the_texts_in_order_and_is_never_refreshed():
    buffer = Buffer.of(stream(), 10_000)
    assert buffer.whole
    assert buffer.begins == ()
    assert torch.allclose(buffer[SITES[0]], one_by_one(SITES[0]), atol=1e-4)
    assert not buffer.due(0, 10**9)
    assert torch.equal(buffer.draw(SITES[1], torch.tensor([3, 3, 0])), buffer[SITES[1]][[3, 3, 0]])


def test_a_streamed_buffer_keeps_its_size_drops_the_oldest_and_is_had_again_from_its_places():
    capacity = 205
    buffer = Buffer.of(stream(), capacity)
    block = capacity // BLOCKS
    assert len(buffer) == block * BLOCKS <= capacity
    tokens = one_by_one(SITES[0])
    assert torch.allclose(buffer[SITES[0]], tokens[: len(buffer)], atol=1e-4)
    for refreshed in range(1, 40):
        before = buffer[SITES[0]].clone()
        buffer.refresh()
        changed = (buffer[SITES[0]] != before).any(-1).view(BLOCKS, block).any(-1).nonzero().flatten().tolist()
        assert changed == [(refreshed - 1) % BLOCKS]
    assert max(place.epoch for place in buffer.begins) >= 1  # it went round
    again = Buffer.of(stream(), capacity, buffer.begins)
    for site in SITES:
        assert torch.equal(again[site], buffer[site])
    buffer.refresh()
    again.refresh()
    assert torch.equal(again[SITES[1]], buffer[SITES[1]])


def test_blocks_are_replaced_as_often_as_their_tokens_are_drawn():
    buffer = Buffer.of(stream(), 205)
    draws = range(0, 10**5, 10)
    refreshes = sum(buffer.due(before, before + 10) for before in draws)
    assert refreshes == pytest.approx(10**5 / (len(buffer) / BLOCKS * REUSE), abs=1)
    # A step that draws more than a block is due makes several due.
    assert buffer.due(0, 10**5) == refreshes


class Watch(TorchDispatchMode):
    """Notes every tensor that any operation makes, and how many rows of the model's width are alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self.storages: dict[int, tuple[weakref.ref, int]] = {}
        self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else [made]:
            if isinstance(one, torch.Tensor) and one.shape[-1:] == (24,):
                self.storages[id(one)] = weakref.ref(one), one.untyped_storage().data_ptr()
        live = {pointer: ref() for ref, pointer in self.storages.values() if ref() is not None}
        rows = sum(one.untyped_storage().nbytes() // (4 * 24) for one in live.values() if one is not None)
        self.most = max(self.most, rows)
        return made


def test_no_more_tokens_are_ever_held_than_the_buffer_and_one_pass(monkeypatch):
    monkeypatch.setattr("vesalius.tools._dictionary_stream.PASS_TEXTS", 4)
    capacity, source = 640, stream()
    assert source.n_tokens(10**6) > 1.5 * capacity
    with Watch() as watch:
        buffer = Buffer.of(source, capacity)
        for _ in range(2 * BLOCKS):
            buffer.refresh()
    one_pass = 4 * 11  # texts, tokens; a block of the model holds that a few times over while it computes
    assert len(SITES) * capacity <= watch.most <= len(SITES) * capacity + 10 * one_pass


def test_a_value_that_is_no_number_is_refused():
    subject = Subject(random_model("llama"), word_tokenizer(), "broken", None, None)
    subject.model.model.layers[1].mlp.down_proj.weight.data[3, 5] = torch.nan
    with pytest.raises(ToolError, match="mend its weights"):
        next(TextStream(subject, ["mlp_out.1"], TEXTS).chunks(100))
