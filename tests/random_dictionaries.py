"""Transcoders that explain little, and their links: exactness does not depend on how good they are."""

import torch
from vesalius.tools import Subject
from vesalius.tools._attribution_local import LocalModel
from vesalius.tools._attribution_nodes import Sources, Targets, feature_targets, logit_targets
from vesalius.tools._attribution_sweep import direct_effects
from vesalius.tools._dictionary import Dictionary, Transcoder, neurons_of

N_FEATURES = 30


def random_dictionary(subject: Subject, kind: str = "topk", seed: int = 0) -> Dictionary:
    """Transcoders (topk, relu, jumprelu, skip, cross-layer) for every layer of a subject, or its own neurons."""
    if kind == "neurons":
        return neurons_of(subject)
    generator = torch.Generator().manual_seed(seed)
    dtype, d_model, n_layers = subject.model.dtype, subject.shape.d_model, subject.shape.n_layers

    def draw(*shape):
        return torch.randn(*shape, generator=generator).to(dtype) * 0.4

    def rule(layer):
        if kind == "jumprelu":
            return {"activation": kind, "threshold": draw(N_FEATURES).abs()}
        if kind == "skip":
            return {"activation": "topk", "k": 5, "W_skip": draw(d_model, d_model)}
        if kind == "cross-layer":
            later = tuple(draw(N_FEATURES, d_model) for _ in range(n_layers - layer - 1))
            return {"activation": "topk", "k": 5, "W_dec_later": later, "W_skip": draw(d_model, d_model)}
        return {"activation": kind} | ({"k": 5} if kind == "topk" else {})

    def one(layer):
        parts = draw(N_FEATURES, d_model), draw(N_FEATURES), draw(N_FEATURES, d_model), draw(d_model)
        return Transcoder(layer, *parts, **rule(layer))

    return Dictionary("random", subject.key.fingerprint, tuple(map(one, range(n_layers))))


def all_links(local: LocalModel, vectors: torch.Tensor) -> tuple[Targets, torch.Tensor]:
    """Every feature and then these directions as targets, and the links into them: a row per target."""
    targets = feature_targets(local, torch.arange(local.n_active)) + logit_targets(local, vectors)
    links = direct_effects(local, Sources(local), targets, local.n_sources + len(vectors))
    return targets, links.into(targets.number, torch.arange(local.n_sources))
