"""Networks: they know tensors, a noise level and conditions, and nothing of diffusion."""

from reverie.networks.autoencoder import Autoencoder
from reverie.networks.base import Network, recompute
from reverie.networks.choice import suggest
from reverie.networks.classifier import Classifier, Labeller
from reverie.networks.cost import flops, parameters
from reverie.networks.dit import Dit
from reverie.networks.embedding import Features, Fourier, Sinusoidal
from reverie.networks.mlp import Mlp
from reverie.networks.multi_scale import MultiScale
from reverie.networks.speed import compiles, has_bf16, keep_memory, precision
from reverie.networks.unet import Unet
from reverie.networks.vae import ConvVae, DenseVae, Vae
from reverie.networks.weights import initialise

__all__ = [
    "Autoencoder",
    "Classifier",
    "ConvVae",
    "DenseVae",
    "Dit",
    "Features",
    "Fourier",
    "Labeller",
    "Mlp",
    "MultiScale",
    "Network",
    "Sinusoidal",
    "Unet",
    "Vae",
    "compiles",
    "flops",
    "has_bf16",
    "initialise",
    "keep_memory",
    "parameters",
    "precision",
    "recompute",
    "suggest",
]
