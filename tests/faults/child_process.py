"""The command line in a process of its own, started quickly: a server that has imported everything forks it."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import sys
import traceback
from multiprocessing.process import BaseProcess
from pathlib import Path

DEADLINE = 150.0  # seconds; only ever reached by a fault


def _run(arguments: list[str], log: str) -> None:
    code = 70
    try:
        sys.stdout = sys.stderr = Path(log).open("a", buffering=1)  # noqa: SIM115 - it stays open to the end
        faulthandler.dump_traceback_later(DEADLINE / 2, file=sys.stderr)
        import torch

        from reverie.cli.main import main

        torch.set_num_threads(1)
        code = main(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def start(arguments: list[str], log: Path) -> BaseProcess:
    """The command line, running."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["reverie.training.session", "reverie.cli.train", "torch.utils.tensorboard"])
    child = context.Process(target=_run, args=(arguments, str(log)))
    child.start()
    return child


def wait(child: BaseProcess) -> int:
    """Its exit code, or minus the signal that ended it."""
    child.join(DEADLINE)
    if child.exitcode is None:
        child.kill()
        child.join()
        raise AssertionError("the run did not end")
    return child.exitcode
