"""Networks that are kept beside diffusion models, each in a folder of its own: config.json and model.safetensors.

`kind` says what one is (a classifier, an autoencoder), so that a folder of another kind is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from reverie.core import files, modelfile
from reverie.core.errors import BAD_DATA, UserError
from reverie.core.ration import rationed
from reverie.data import Spec

FORMAT = 1


@dataclass(frozen=True)
class Kept:
    """What a folder holds: the description of the data, how the network was made, what came out, and the network."""

    spec: Spec
    config: dict[str, Any]
    summary: dict[str, Any]
    network: nn.Module


def contents(
    kind: str, spec: Spec, config: dict[str, Any], summary: dict[str, Any], network: nn.Module
) -> dict[str, bytes]:
    """The files of such a folder, as bytes."""
    described = {"format_version": FORMAT, "kind": kind, "spec": spec.to_json(), "config": config, "summary": summary}
    weights = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    return {
        "config.json": json.dumps(described, indent=1, ensure_ascii=False).encode(),
        "model.safetensors": modelfile.save_tensors(weights, {"format": "pt"}),
    }


def read(path: str | Path, kind: str, *, option: str, build: Callable[[Spec, dict[str, Any]], nn.Module]) -> Kept:
    """The folder `path`, which `reverie train DATA {option}` makes; `build` makes the network of its description.

    Raises UserError for one that is something else, and with exit code 65 for one that is damaged.
    """
    folder, hint = Path(path), f"(train one: reverie train DATA {option})"
    if not (folder / "config.json").is_file():
        article = "an" if kind[0] in "aeiou" else "a"
        raise UserError(f"'{path}' is not {article} {kind}: it has no config.json {hint}")
    stored = files.read_folder(folder, needs=("config.json",))
    described = modelfile.read_config(stored["config.json"])
    if described.get("kind") != kind or described.get("format_version") != FORMAT:
        raise UserError(f"'{path}' is a model, but no {kind} {hint}")
    if "model.safetensors" not in stored:
        raise UserError(f"{folder} lacks model.safetensors", code=BAD_DATA)
    weights = modelfile.load_tensors(stored["model.safetensors"])
    with rationed(weights, f"{folder}/config.json"):
        spec, config = Spec.from_json(described["spec"]), dict(described["config"])
        network = build(spec, config)
    modelfile.strict_load(network, weights, str(folder))
    return Kept(spec, config, dict(described.get("summary", {})), network.eval().requires_grad_(False))
