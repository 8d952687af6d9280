"""A process that answers one line for each line, until there are none: how every side of a comparison is asked.

The standard library alone, as `_process_cost.py`: sides in other environments load it too.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO


def serve(ready: dict[str, Any], answer: Callable[[str], dict[str, Any]], answers: TextIO) -> None:
    """Say what is ready, then answer the lines of standard input."""
    _write(ready, answers)
    for line in sys.stdin:
        _write(answer(line.strip()), answers)


def run_served(main: Callable[[dict[str, Any], TextIO], None]) -> None:
    """Run what serves, with the request in the file that the command line names.

    Libraries write to standard output as they load; the answers get a channel that nobody else writes to.
    """
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    main(json.loads(Path(sys.argv[1]).read_text()), channel)


def _write(answer: dict[str, Any], answers: TextIO) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
