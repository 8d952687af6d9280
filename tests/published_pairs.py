"""The published pairs of indirect object identification and greater-than, as pairs of the instruments.

Wang et al. 2022, "Interpretability in the Wild"; Hanna et al. 2023, "How does GPT-2 compute greater-than?"; the files
are those of Hanna et al. 2024, "Have Faith in Faithfulness".
"""

import csv
import re
from collections import Counter
from functools import cache
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from vesalius.tools import Pair, Subject

TOKENS = r"\d\d|\w+|[^\w\s]"  # a year is two tokens, as the greater-than pairs have it


def rows_of(external: Path, file: str) -> list[dict[str, str]]:
    """A file as it was published."""
    with (external / "tasks" / "eap_ig" / file).open(newline="") as lines:
        return list(csv.DictReader(lines))


def objects(row: dict[str, str]) -> Pair:
    """Who is given something: of two persons the one that is not named twice."""
    both = re.findall(r"(\w+) and (\w+)", row["clean"])[0]
    counts = Counter(re.findall(TOKENS, row["clean"]))
    giver, other = sorted(both, key=lambda name: -counts[name])
    assert (counts[giver], counts[other]) == (2, 1)
    return Pair(base=row["clean"], corrupted=row["corrupted_hard"], answer=other, foil=giver)


def years(row: dict[str, str]) -> Pair:
    """A year that is later and one that is not; both are later than the counterfactual's, 01."""
    later = f"{int(row['label']) + 1:02}"
    return Pair(base=row["clean"], corrupted=row["corrupted"], answer=later, foil="02")


@cache
def published_pairs(external: Path) -> dict[str, tuple[Pair, ...]]:
    """All pairs of both tasks."""
    return {
        "objects": tuple(map(objects, rows_of(external, "ioi_llama.csv"))),
        "years": tuple(map(years, rows_of(external, "greater_than_data.csv"))),
    }


def random_reader_of(pairs: dict[str, tuple[Pair, ...]]) -> Subject:
    """A small random GPT-2 with one token for every word of all pairs."""
    texts = [text for some in pairs.values() for p in some for text in (p.base, p.corrupted, p.answer, p.foil)]
    words = ["<unk>", *sorted({word for text in texts for word in re.findall(TOKENS, text)})]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(TOKENS), behavior="removed", invert=True)
    reader = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", clean_up_tokenization_spaces=False)
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 32, "initializer_range": 0.3}
    config = GPT2Config(vocab_size=len(words), tie_word_embeddings=False, attn_implementation="eager", **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Subject(GPT2LMHeadModel(config), reader, "random-pairs", None, None)
