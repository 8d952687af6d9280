"""`vesalius dictionary …` on the command line; as `cli.py`, heavy imports wait."""

from pathlib import Path
from typing import Annotated

import typer

from .failing import reported
from .options import AsJson, Device, Download

dictionary_app = typer.Typer(help="Sparse dictionaries of a model.", no_args_is_help=True, rich_markup_mode=None)

DICTIONARIES = """\b
Kinds:
  topk, batchtopk, jumprelu, relu, matryoshka   at every site
  mp                                            matching pursuit; not at mlp
  skip, cross-layer                             at mlp only
Sites:
  mlp                            reads the MLP's input, writes its output
  resid_post, mlp_out, attn_out  reads and writes one site

A training that is stopped leaves a checkpoint beside the output; --resume with the same options goes on from it.
A fifth of the texts, 16,384 tokens at most, is held out; the figures printed are of those.
"""


@dictionary_app.command("train", epilog=DICTIONARIES)
def dictionary_train(
    model: Annotated[str, typer.Argument(help="Folder of a model.")],
    texts: Annotated[
        Path,
        typer.Option(
            help="Text to train on: JSON list, {'texts': […]}, or one text per line; 10,000 texts at most are drawn."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="File to write; default: the model folder's dictionaries/.")] = None,
    kind: Annotated[str, typer.Option(help="Kind of dictionary; see below.")] = "topk",
    site: Annotated[str, typer.Option(help="Site that it stands in for; see below.")] = "mlp",
    layer: Annotated[list[int] | None, typer.Option(min=0, help="A layer to train; repeat it; default: all.")] = None,
    features: Annotated[int, typer.Option(min=8, help="Features per layer (count).")] = 512,
    active: Annotated[int, typer.Option(min=1, help="Features active per token; mp: steps (count).")] = 16,
    sparsity: Annotated[
        float | None,
        typer.Option(help="Weight of the penalty of relu and jumprelu; default: what keeps ACTIVE active."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps per layer (count).")] = 2000,
    patience: Annotated[
        int, typer.Option(min=0, help="Stop after so many looks, 200 steps apart, without gain; 0: never.")
    ] = 0,
    buffer: Annotated[int, typer.Option(min=512, help="Tokens held at once (count).")] = 65536,
    seed: Annotated[int, typer.Option(min=0, help="Seed of initialisation and batches.")] = 0,
    device: Device = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that stands there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a sparse dictionary of a model, minutes on two cores for small ones."""
    with reported(as_json):
        from .commands.training import recipe_of, train_command
        from .settings import read_settings

        recipe = recipe_of(kind, site, layer, features, active, sparsity, steps, patience, buffer, seed)
        train_command(model, texts, out, recipe, read_settings(device=device).device, resume, overwrite, as_json)


@dictionary_app.command("show")
def dictionary_show(
    name: Annotated[str, typer.Argument(help="Name of a model's dictionary, a path, or hub:ORG/REPO/PATH@REVISION.")],
    model: Annotated[str | None, typer.Option(help="Whether it may be used on this model is said too.")] = None,
    device: Device = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Say what a dictionary is, ours or published: format, places, sizes, origin, and how good it is."""
    with reported(as_json):
        from .commands.dictionaries import show_command
        from .settings import read_settings

        show_command(name, model, read_settings(device=device).device, download, as_json)
