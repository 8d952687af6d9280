"""Hooks that read and write sites during one forward pass.

A pass has many of them, so none is a function made anew for it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from ._architectures import Architecture
from ._block_parts import BlockModules, HeadColumns
from ._sites import Site

Edit = Callable[[Tensor], Tensor]
"""Takes a site's value for the whole batch, returns what the subject shall go on with."""


class _Taps:
    """What to do with the value of each site as it passes."""

    def __init__(self, reads: set[Site], edits: Mapping[Site, Edit]) -> None:
        self.reads, self.edits = reads, edits
        self.seen: dict[Site, Tensor] = {}

    def touches(self, site: Site) -> bool:
        return site in self.reads or site in self.edits

    def of_heads(self, kind: str, layer: int) -> list[Site]:
        """Sites of single heads in one layer."""
        return sorted((s for s in self.reads | set(self.edits) if (s.kind, s.layer) == (kind, layer)), key=str)

    def at(self, site: Site) -> Edit:
        """What passes at one site."""
        return partial(self.pass_through, site)

    def pass_through(self, site: Site, value: Tensor) -> Tensor:
        """The value to go on with, kept where somebody reads it."""
        if site in self.edits:
            edited = self.edits[site](value)
            assert edited.shape == value.shape, f"edit of {site} turned {value.shape} into {edited.shape}"
            value = edited
        if site in self.reads:
            self.seen[site] = value
        return value


@contextmanager
def hooked(
    architecture: Architecture, d_head: int, reads: set[Site], edits: Mapping[Site, Edit]
) -> Iterator[dict[Site, Tensor]]:
    """Install hooks for these sites; yields the dictionary that a forward pass fills."""
    taps = _Taps(reads, edits)
    with ExitStack() as stack:
        if taps.touches(Site("embed")):
            stack.enter_context(_on_output(architecture.embedding(), taps.at(Site("embed"))))
        wanted = {site.layer for site in {*reads, *edits}}
        for layer, modules in enumerate(architecture.blocks()):
            if layer in wanted:
                _hook_block(stack, modules, layer, d_head, taps)
        yield taps.seen


def _hook_block(stack: ExitStack, modules: BlockModules, layer: int, d_head: int, taps: _Taps) -> None:
    # Order matters where two sites share a module: a hook registered earlier runs earlier.
    inputs = {"resid_pre": modules.block, "mlp_in": modules.mlp, "mlp_act": modules.mlp_output}
    outputs = {"mlp_out": modules.mlp_adds, "resid_post": modules.block}
    for kind, module in inputs.items():
        site = Site(kind, layer)  # pyright: ignore[reportArgumentType]
        if taps.touches(site):
            stack.enter_context(_on_input(module, site, taps))
    makers = {"q": modules.query, "k": modules.key, "v": modules.value}
    for kind, columns in makers.items():
        if mine := taps.of_heads(kind, layer):
            stack.enter_context(_on_output(columns.module, partial(_pass_columns, columns, mine, d_head, taps)))
    if heads := taps.of_heads("head", layer):
        joined = HeadColumns(modules.attention_output, 0, d_head)
        stack.enter_context(_on_heads(joined, heads, d_head, taps))
    if Site("pattern", layer) in taps.reads:
        stack.enter_context(_on_pattern(modules.attention, Site("pattern", layer), taps))
    if any(taps.touches(Site(kind, layer)) for kind in ("attn_out", "resid_mid")):
        stack.enter_context(_on_attention(modules, layer, taps))
    for kind, module in outputs.items():
        site = Site(kind, layer)  # pyright: ignore[reportArgumentType]
        if taps.touches(site):
            stack.enter_context(_on_output(module, taps.at(site)))


@contextmanager
def _removed_after(*handles: Any) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _on_input(module: nn.Module, site: Site, taps: _Taps) -> Any:
    return _removed_after(module.register_forward_pre_hook(partial(_pass_input, site, taps), with_kwargs=True))


def _pass_input(site: Site, taps: _Taps, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if args:
        return (taps.pass_through(site, args[0]), *args[1:]), kwargs
    return args, {**kwargs, "hidden_states": taps.pass_through(site, kwargs["hidden_states"])}


def _on_output(module: nn.Module, go_on: Edit) -> Any:
    return _removed_after(module.register_forward_hook(partial(_pass_output, go_on)))


def _pass_output(go_on: Edit, _: nn.Module, __: Any, output: Any) -> Any:
    return (go_on(output[0]), *output[1:]) if isinstance(output, tuple) else go_on(output)


def _on_heads(columns: HeadColumns, sites: list[Site], d_head: int, taps: _Taps) -> Any:
    hook = partial(_pass_heads, partial(_pass_columns, columns, sites, d_head, taps))
    return _removed_after(columns.module.register_forward_pre_hook(hook))


def _pass_heads(go_on: Edit, _: nn.Module, args: tuple[Any, ...]) -> Any:
    return (go_on(args[0]), *args[1:])


def _pass_columns(columns: HeadColumns, sites: list[Site], d_head: int, taps: _Taps, joined: Tensor) -> Tensor:
    """All heads side by side, as the model shall go on with them."""
    written = joined.clone() if any(site in taps.edits for site in sites) else joined
    for site in sites:
        assert site.head is not None
        mine = columns.of(site.head, d_head)
        value = taps.pass_through(site, written[..., mine])
        if site in taps.edits:
            written[..., mine] = value
    return written


def _on_pattern(attention: nn.Module, site: Site, taps: _Taps) -> Any:
    return _removed_after(attention.register_forward_hook(partial(_keep_pattern, site, taps)))


def _keep_pattern(site: Site, taps: _Taps, _: nn.Module, __: Any, output: tuple[Any, ...]) -> None:
    taps.seen[site] = output[1]


@contextmanager
def _on_attention(modules: BlockModules, layer: int, taps: _Taps) -> Iterator[None]:
    """What attention adds to the stream, and the stream between attention and MLP.

    The stream inside a block is a sum that no module returns, so it is written through what attention adds:
    what an edit adds to the sum is added there, and an edit that changes nothing adds exactly zero.
    """
    stream: list[Tensor] = []
    handle = modules.block.register_forward_pre_hook(partial(_keep_stream, stream), with_kwargs=True)
    with _on_output(modules.attention_adds, partial(_pass_added, stream, layer, taps)), _removed_after(handle):
        yield


def _keep_stream(stream: list[Tensor], _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    stream[:] = [args[0] if args else kwargs["hidden_states"]]


def _pass_added(stream: list[Tensor], layer: int, taps: _Taps, added: Tensor) -> Tensor:
    mid, attn_out = Site("resid_mid", layer), taps.pass_through(Site("attn_out", layer), added)
    if not taps.touches(mid):
        return attn_out
    before = attn_out + stream[0]
    return attn_out + (taps.pass_through(mid, before) - before)
