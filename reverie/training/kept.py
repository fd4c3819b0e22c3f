"""Networks that are kept beside diffusion models, each in a folder of its own: config.json and model.safetensors.

`kind` says what one is (a classifier, an autoencoder), so that a folder of another kind is refused by name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from reverie.core import files, modelfile
from reverie.core.errors import BAD_DATA, UserError
from reverie.data import Spec

FORMAT = 1


@dataclass(frozen=True)
class Kept:
    """What a folder holds: the description of the data, how the network is made, what came out, and the weights."""

    spec: Spec
    config: dict[str, Any]
    summary: dict[str, Any]
    tensors: dict[str, Tensor]


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


def read(path: str | Path, kind: str, *, option: str) -> Kept:
    """The folder `path`, which `reverie train {option}` makes.

    Raises UserError for one that is something else, and with exit code 65 for one that is damaged.
    """
    folder = Path(path)
    if not (folder / "config.json").is_file():
        raise UserError(f"'{path}' is no {kind}: it has no config.json (train one: reverie train DATA {option})")
    stored = files.read_folder(folder, needs=("config.json", "model.safetensors"))
    described = modelfile.read_config(stored["config.json"])
    if described.get("kind") != kind or described.get("format_version") != FORMAT:
        raise UserError(f"'{path}' is a model, but no {kind} (train one: reverie train DATA {option})")
    tensors = modelfile.load_tensors(stored["model.safetensors"])
    try:
        spec = Spec.from_json(described["spec"])
        return Kept(spec, dict(described["config"]), dict(described.get("summary", {})), tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder}/config.json lacks {error}", code=BAD_DATA) from error
