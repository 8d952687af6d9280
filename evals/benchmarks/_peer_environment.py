"""An environment of its own for circuit-tracer, which wants an older transformers than this package does.

The package of that name on PyPI is a published fork of circuit-tracer 0.5.0 (Hanna, Piotrowski, Lindsey, Ameisen 2025,
"Circuit Tracer"); its authors publish none there. The versions below are the ones that the benchmark was made with.
"""

import json
import subprocess
import sys
from pathlib import Path

from ...tools import Progress, ToolError, silent

PINS = (
    "circuit-tracer==0.5.0",
    "torch==2.13.0",
    "transformers==4.57.3",
    "transformer-lens==3.2.1",
    "nnsight==0.6.1",
)
STAMP = "vesalius-peer.json"  # written last: an environment without it was not finished
LINES = 12  # of what a failed command said


def peer_python(folder: Path, progress: Progress = silent) -> Path:
    """The interpreter of the environment in `folder`, which is made there when it does not stand yet.

    Making it takes about a minute and 2 GB, and needs a package index or a local store of wheels that pip knows.

    Raises:
        ToolError: the folder holds something else, or the packages could not be installed.
    """
    folder = folder.absolute()
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    stamp = folder / STAMP
    if stamp.is_file() and python.exists() and json.loads(stamp.read_text()) == list(PINS):
        return python
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
        raise ToolError(f"{folder} holds something that is no environment.", mend="Name a new or an empty folder.")
    stamp.unlink(missing_ok=True)
    progress(0, 2, "environment for circuit-tracer")
    _do([sys.executable, "-m", "venv", "--clear", str(folder)])
    progress(1, 2, "installing circuit-tracer")
    _do([str(python), "-m", "pip", "install", "--disable-pip-version-check", *PINS])
    _do([str(python), "-c", "import circuit_tracer"])
    stamp.write_text(json.dumps(PINS))
    progress(2, 2, "circuit-tracer installed")
    return python


def _do(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-LINES:])
        raise ToolError(
            f"The environment for circuit-tracer could not be made: `{' '.join(command)}` ended with "
            f"{done.returncode}:\n{said}",
            mend=f"Make sure that pip can install {', '.join(PINS)} (network or a local store of wheels, 2 GB of "
            "disk), then start again.",
        )
