"""Where a benchmark ran, and what other programs did to the machine meanwhile: a time without these means nothing."""

from __future__ import annotations

import importlib.metadata
import json
import os
import time
from pathlib import Path
from typing import Any

from reverie.training.folder import environment

RESULTS = Path(__file__).parent / "results"
PEERS = ("diffusers", "denoising-diffusion-pytorch")
ALLOWED = 0.05  # share of the machine that others may use in a timing that counts


def described() -> dict[str, Any]:
    """Versions, processor, threads and the command, without this machine's paths."""
    made = environment()
    words = [Path(word).name if word.startswith("/") else word for word in str(made.pop("command")).split()]
    return {
        **made,
        "model": model(),
        "cores": os.cpu_count(),
        "peers": {name: version for name in PEERS if (version := _version(name))},
        "command": " ".join(words),
    }


def is_here(made: dict[str, Any]) -> bool:
    """Whether an environment is of this kind of processor: virtual machines give many kinds one name."""
    return (made["model"], made["processor"]) == (model(), environment()["processor"])


def model() -> str:
    """The processor, in its maker's words."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


class Meter:
    """Wall time, this process' processor time, and the share of the machine that others used, since it was made."""

    def __init__(self) -> None:
        self.clock, self.own, self.all = time.perf_counter(), _own(), _all()

    def read(self) -> dict[str, float]:
        """`foreign_load` is 1 where other programs kept every core busy, and −1 where the system does not tell."""
        wall, own = time.perf_counter() - self.clock, _own() - self.own
        everyone = _all() - self.all
        cores = os.cpu_count() or 1
        foreign = max(0.0, everyone - own) / (wall * cores) if everyone else -1.0
        return {"seconds": round(wall, 3), "core_seconds": round(own, 3), "foreign_load": round(foreign, 4)}


def _own() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _all() -> float:
    """Processor seconds of all programs since the machine started."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _idle, _wait, irq, soft, steal = (int(n) for n in file.readline().split()[1:9])
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def measured(name: str) -> list[dict[str, Any]]:
    """What benchmarks/results/NAME.json holds: one result, or one for each kind of processor."""
    path = RESULTS / f"{name}.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"processors": []}
    return found.get("processors", [found])


def write(name: str, result: dict[str, Any], *, beside: bool = False) -> Path:
    """A result as benchmarks/results/NAME.json, with where it was made; `beside` those of other kinds of processor."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    made = {"environment": described(), **result}
    others = [other for other in measured(name) if beside and not is_here(other["environment"])]
    text = json.dumps({"processors": [*others, made]} if beside else made, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    print(f"written: benchmarks/results/{path.name}")
    return path
