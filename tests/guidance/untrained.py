"""A model folder that needs no training: what the network's initialiser leaves is exact for data N(0, s² I)."""

from pathlib import Path

from reverie import networks
from reverie.core import files
from reverie.data import open_data
from reverie.training.assemble import build_denoiser
from reverie.training.defaults import choose
from reverie.training.model import contents

UNET = {"name": "unet", "width": 16, "multipliers": [1], "depth": 1}


def write_model(folder: Path, source: str, seed: int = 0, *, label: str = "") -> Path:
    """A model as its initialiser leaves it: x̂_0 = c_skip x_t, which is exact for data N(0, s² I)."""
    spec = open_data(source, label=label).spec
    network = UNET if spec.kind == "image" else {"name": "mlp", "width": 16}
    config = choose(spec, 1000, {"network": network, "sampling": {"steps": 4}, "training": {"steps": 1}})
    denoiser = build_denoiser(config, spec)
    networks.initialise(denoiser, seed)
    files.write_folder(folder, contents(denoiser, spec, config, {}))
    return folder
