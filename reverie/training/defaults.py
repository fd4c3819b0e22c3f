"""Defaults from the data's shape and size and the time given: what `reverie train` does when nobody tunes it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from reverie import networks
from reverie.core import catalog
from reverie.data import Dataset, Spec
from reverie.samplers.langevin import ncsnv2_levels
from reverie.training.assemble import takes
from reverie.training.recipe import DEFAULTS, SECTIONS, Config, merge, validated

# What goes with a process other than the default one, unless the user says otherwise.
STATES: Config = {
    "denoiser": {"name": "token-denoiser"},
    "loss": {"name": "cross-entropy"},
    "times": {"name": "discrete"},
    "sampler": {"name": "ancestral"},
    "grid": {"name": "uniform"},
    "sampling": {"steps": 100},
}
BESIDE: dict[str, Config] = {
    "blur": {"sampler": {"name": "ancestral"}, "grid": {"name": "uniform"}, "sampling": {"steps": 200}},
    **dict.fromkeys(catalog.names("processes", "Chain"), STATES),
}


PASSES = 110  # over small data, after which a network of the default size begins to know them by heart
SHORTEST = 1000  # updates, however few the data
COMPARED = 2000  # data whose distances are taken, fewer where they are large


def choose(spec: Spec, count: int, chosen: Config) -> Config:
    """The whole configuration for this data: the defaults, overridden by what the user chose.

    `count` is the number of training examples. Entries with an option `data_std` or `bins` get the data's own.
    """
    length = {k: v for k, v in chosen.get("training", {}).items() if k in ("minutes", "steps")}
    points = len(spec.shape) == 1
    batch = chosen.get("training", {}).get("batch") or max(1, min(512 if points else 128, count))
    if not length:
        length = {"minutes": _minutes(spec)}
        if not points:
            length["steps"] = max(SHORTEST, PASSES * count // batch)
    minutes = float(length.get("minutes") or 10.0)
    by_data: Config = {
        "network": networks.suggest(spec.shape, count, minutes),
        "training": {
            **length,
            "batch": batch,
            "learning_rate": 2e-3,
            "ema": 0.1,
            **({"precision": "fp32"} if points else {}),  # coordinates have no pixels' tolerance for rounding
        },
        **({"times": {"name": "log-normal", "mean": -0.5, "std": 1.6}} if points else {}),
    }
    process = merge(DEFAULTS, chosen)["process"]["name"]
    config = validated(merge(DEFAULTS, by_data, BESIDE.get(process, {}), chosen))
    if "critic" in takes(config, "denoiser"):
        config["critic"] = merge({"critic": config["network"]}, {"critic": config.get("critic", {})})["critic"]
    return _with_data_std(config, spec)


def _minutes(spec: Spec) -> float:
    """A length for a first look: points learn in a minute, small images in three, larger ones need longer."""
    if len(spec.shape) == 1:
        return 1.5
    pixels = spec.dimensions
    return 3.0 if pixels <= 256 else 10.0 if pixels <= 4096 else 30.0


def _with_data_std(config: Config, spec: Spec) -> Config:
    for section, (room, _) in SECTIONS.items():
        if section not in config:
            continue
        names = [option.name for option in catalog.options(room, config[section]["name"])]
        if "data_std" in names:
            config[section].setdefault("data_std", round(float(spec.std), 6))
        if "bins" in names:
            config[section].setdefault("bins", spec.scale.bins or 0)
    return config


def ladder(config: Config, chosen: Config, data: Dataset, train: Tensor) -> Config:
    """Noise levels of a variance-exploding process for these data, where the user has not chosen them.

    σ_max is the largest distance between two data, so that a walk can get from any of them to any other, and annealed
    Langevin dynamics takes as many levels down to the grid's σ_min as let neighbouring ones overlap.
    Reference: Song & Ermon 2020 (NCSNv2), arXiv:2006.09011, techniques 1 and 2.
    """
    if config["schedule"]["name"] != "ve":
        return config
    sigma_max = chosen.get("schedule", {}).get("sigma_max") or _largest_distance(data, train)
    own: Config = {"schedule": {"sigma_max": sigma_max}}
    if config["sampler"]["name"] == "annealed-langevin" and "steps" not in chosen.get("sampling", {}):
        sigma_min = float(config["grid"].get("sigma_min", config["schedule"].get("sigma_min", 0.01)))
        own["sampling"] = {"steps": ncsnv2_levels(sigma_max, sigma_min, data.spec.dimensions)}
    return merge(config, own)


def _largest_distance(data: Dataset, train: Tensor) -> float:
    """Between any two of some training data, to three digits; at least 1, where all of them are the same."""
    count = min(COMPARED, len(train), max(2, 2**24 // data.spec.dimensions))
    x0 = data.rows(train[torch.linspace(0, len(train) - 1, count).long()]).flatten(1)
    return max(1.0, float(f"{torch.cdist(x0, x0).max():.3g}"))


def explain(spec: Spec, count: int, config: Config) -> list[tuple[str, str]]:
    """The choices as rows for the user: what, and which."""

    def line(section: str) -> str:
        options = ", ".join(f"{k} {_short(v)}" for k, v in config[section].items() if k != "name")
        return config[section]["name"] + (f" ({options})" if options else "")

    def beside(section: str, part: str) -> str:
        """A section that is an option of another one's entry, where that entry has it."""
        return f", {part} {line(part)}" if part in takes(config, section) else ""

    shape = "×".join(str(n) for n in spec.shape)
    labels = f", {len(spec.classes)} classes" if spec.classes else ""
    training = config["training"]
    parts = [f"{training['minutes']:g} minutes"] if training.get("minutes") else []
    parts += [f"{training['steps']} steps"] if training.get("steps") else []
    length = "at most " * (len(parts) > 1) + " or ".join(parts)
    return [
        ("data", f"{spec.name}: {count} training examples of {shape} ({spec.kind}{labels})"),
        ("process", f"{line('process')}{beside('process', 'schedule')}"),
        ("prediction", f"{line('denoiser')}{beside('denoiser', 'prediction')}"),
        ("loss", f"{line('loss')}{beside('loss', 'weight')}{beside('loss', 'times')}"),
        ("network", line("network") + beside("denoiser", "critic")),
        ("training", f"{length}, batch {training['batch']}, learning rate {training['learning_rate']:g}"),
        ("sampling", f"{line('sampler')}, {config['sampling']['steps']} steps, grid {line('grid')}"),
    ]


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
