"""Text and tokens: what tokenizers of the supported families do to a text, and what may not pass unnoticed."""

import pytest
import torch
from conftest import WORDS, random_model, word_tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast
from vesalius.tools import Subject, ToolError
from vesalius.tools._positions import differing_positions, token_positions
from vesalius.tools._reader import Reader
from vesalius.tools.next_token import NextTokenArgs, next_token

CPU = torch.device("cpu")
CORPUS = ["the capital is Paris, the capital is Rome. it's café"] * 4


def with_template(template: str) -> PreTrainedTokenizerFast:
    """The words of the tiny subjects, between special tokens; `<pad>` stands for the end of a text."""
    tokenizer = word_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[("<bos>", 1), ("<pad>", 0)]
    )
    return tokenizer


def byte_level(normalizer: object = None) -> PreTrainedTokenizerFast:
    """As of GPT-2, Llama 3, Qwen and NeoX: spaces belong to the word behind them, nothing is put in front."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, min_frequency=2, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator(CORPUS, trainer)
    if normalizer is not None:
        core.normalizer = normalizer
    return PreTrainedTokenizerFast(tokenizer_object=core, clean_up_tokenization_spaces=False)


def sentence_piece() -> PreTrainedTokenizerFast:
    """As of Llama 2 and Mistral: every word begins with the mark of a space, also the first."""
    pieces = ["<unk>", "<s>", "▁", "▁▁", "▁the", "▁capital", "▁is", "▁Paris", ","]
    core = Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], unk_id=0))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", clean_up_tokenization_spaces=False)


def reader_of(tokenizer: PreTrainedTokenizerFast, n_ctx: int = 32, n_embedded: int | None = None) -> Reader:
    return Reader(tokenizer, n_ctx, len(tokenizer) if n_embedded is None else n_embedded, CPU)


@pytest.mark.parametrize(
    ("template", "ids"), [("<bos> $A <pad>", [1, 4, 5]), ("$A <pad>", [4, 5]), ("<bos> $A", [1, 4, 5]), ("$A", [4, 5])]
)
def test_what_a_tokenizer_puts_in_front_is_kept_and_what_it_puts_behind_is_not(template, ids):
    reader = reader_of(with_template(template))
    assert reader.encode("w1 w2") == ids
    assert reader.tokenise(["w1 w2"]).last.tolist() == [len(ids) - 1]
    assert reader.answer_token("w1 w2", "w3") == 6


def test_an_end_that_the_text_itself_has_is_kept():
    assert reader_of(with_template("<bos> $A <pad>")).encode("w1 <pad>") == [1, 4, 0]


def test_an_answer_is_read_behind_the_text_whatever_the_tokenizer_adds():
    model = random_model("llama")
    plain, closed = (Subject(model, with_template(t), "a", None, None) for t in ("<bos> $A", "<bos> $A <pad>"))
    asked = NextTokenArgs(prompts=("w1 w2", "w3 w4 w5"), answers=("w6", "w7"))
    assert next_token(plain, asked) == next_token(closed, asked)
    assert token_positions(closed, "w1 w2", "last") == token_positions(plain, "w1 w2", "last") == (2,)
    assert token_positions(closed, "w1 w2", "-1") == (2,)
    assert differing_positions(closed, "w1 w2", "w1 w3") == (2,)


def test_padding_stands_behind_and_the_model_embeds_it_whatever_the_tokenizer_says():
    tokenizer = word_tokenizer()
    tokenizer.padding_side = "left"
    tokenizer.add_special_tokens({"pad_token": "<a token beyond the model's>"})
    assert reader_of(tokenizer).tokenise(["w1 w2 w3", "w1"]).ids.tolist() == [[1, 4, 5, 6], [1, 4, 0, 0]]


def test_special_tokens_and_padding_are_no_text():
    reader = reader_of(with_template("<bos> $A"))
    mask = reader.is_text(reader.tokenise(["w1 <pad> w2", "w3"]))
    assert mask.tolist() == [[False, True, False, True], [False, True, False, False]]


def test_without_special_tokens_every_token_is_text():
    reader = reader_of(byte_level())
    assert reader.special_ids == frozenset()
    assert reader.is_text(reader.tokenise(["the capital"])).all()


@pytest.mark.parametrize(
    ("answer", "token"), [("Paris", " Paris"), (" Paris", " Paris"), (",", ","), (".", "."), ("is", " is")]
)
def test_a_byte_level_answer_has_its_space_where_a_writer_would_put_one(answer, token):
    reader = reader_of(byte_level())
    prompt = "the capital is Paris" if answer in ",." else "the capital is"
    assert reader.token_strings([reader.answer_token(prompt, answer)]) == (token,)


def test_an_answer_written_into_the_prompts_own_space_is_refused():
    with pytest.raises(ToolError, match="Drop the space at the prompt's end"):
        reader_of(byte_level()).answer_token("the capital is ", "Paris")


def test_a_space_at_the_end_does_no_harm_where_spaces_are_no_tokens():
    assert reader_of(word_tokenizer()).answer_token("w1 ", "w2") == 5


@pytest.mark.parametrize("make", [byte_level, sentence_piece])
def test_tokens_as_text_together_are_the_text(make):
    reader = reader_of(make())
    text = "the capital  is Paris,"
    shown = "".join(reader.token_strings([i for i in reader.encode(text) if i not in reader.special_ids]))
    assert shown.removeprefix(" ") == text


@pytest.mark.parametrize("make", [byte_level, sentence_piece])
def test_an_entity_is_found_by_its_characters(make):
    tokenizer = make()
    subject = Subject(random_model("gpt2"), word_tokenizer(), "a", None, None)
    subject.__dict__["reader"] = reader = reader_of(tokenizer)
    prompt = "the capital is Paris, the capital"
    places = token_positions(subject, prompt, "entity", "Paris")
    assert reader.token_strings([reader.encode(prompt)[i] for i in places]) == (" Paris",)
    last = token_positions(subject, prompt, "entity", "capital")
    assert last == token_positions(subject, prompt, "last")


def test_a_sentence_piece_answer_follows_its_space():
    reader = reader_of(sentence_piece())
    assert reader.token_strings([reader.answer_token("the capital is", "Paris")]) == (" Paris",)
    with pytest.raises(ToolError, match="lacks"):
        reader.encode("the capital zebra")


def test_characters_that_a_tokenizer_drops_in_silence_are_refused():
    core = Tokenizer(models.BPE({"A": 0, "B": 1}, []))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    with pytest.raises(ToolError, match="lacks 'AZZB!', 'Z'\\."):
        reader_of(PreTrainedTokenizerFast(tokenizer_object=core)).encode("AZZB! AB Z BA")


@pytest.mark.parametrize("text", ["cafe\u0301 is Paris", "\u1112\u1161\u11ab", "😀 \u200bthe"])
def test_letters_that_a_tokenizer_composes_are_not_dropped(text):
    assert reader_of(byte_level(normalizers.NFC())).encode(text)


def test_a_token_that_the_model_does_not_embed_is_refused():
    reader = reader_of(word_tokenizer(), n_embedded=10)
    assert reader.encode("w1 w6") == [1, 4, 9]
    with pytest.raises(ToolError, match="'w7' as number 10, but the model embeds 10"):
        reader.encode("w1 w7")
    with pytest.raises(ToolError, match="tokenizer that belongs to the model"):
        reader.answer_token("w1", "w7")


def test_a_number_beyond_the_tokenizer_is_shown_as_such():
    assert reader_of(word_tokenizer()).token_strings([4, len(WORDS) + 3]) == ("w1", f"<no token {len(WORDS) + 3}>")


def test_a_prompt_that_fills_the_context_may_be_asked_for_its_answer():
    reader = reader_of(word_tokenizer(), n_ctx=4)
    assert reader.answer_token("w1 w2 w3", "w4") == 7
    with pytest.raises(ToolError, match="At most 4 fit"):
        reader.encode("w1 w2 w3 w4")


@pytest.mark.parametrize("answer", ["", "  "])
def test_an_empty_answer_is_refused(answer):
    with pytest.raises(ToolError, match="Ask for a word"):
        reader_of(byte_level()).answer_token("the capital", answer)


def test_a_text_is_cut_to_the_tokens_that_fit():
    reader = reader_of(byte_level(), n_ctx=3)
    cut = reader.beginning("the capital is Rome")
    assert "the capital is Rome".startswith(cut)
    assert 0 < len(reader.encode(cut)) <= 3
    assert reader.beginning("the") == "the"


def test_a_string_that_is_no_text_is_refused():
    with pytest.raises(ToolError, match="no character"):
        reader_of(byte_level()).encode("the \ud800 capital")
