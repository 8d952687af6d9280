"""Options that several commands have, described once."""

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, all else on standard error.")]
Model = Annotated[str | None, typer.Option(help="Reference name, folder, or hub id (ORG/REPO[@REVISION]).")]
Home = Annotated[Path | None, typer.Option(help="Folder of runs and memory.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")]
Download = Annotated[
    bool, typer.Option("--download", help="Allow fetching a hub id; otherwise only the cache is read.")
]
