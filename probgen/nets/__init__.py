"""Plain networks without Pyro: encoders and decoders, denoisers of diffusion, players of GANs."""

from probgen.nets.coders import (
    CodeTransformer,
    Decoder,
    Encoder,
    GridDecoder,
    GridEncoder,
    NetError,
    code_transformer,
    conv_decoder,
    conv_encoder,
    dense_decoder,
    dense_encoder,
    grid_decoder,
    grid_encoder,
)

__all__ = [
    "CodeTransformer",
    "Decoder",
    "Encoder",
    "GridDecoder",
    "GridEncoder",
    "NetError",
    "code_transformer",
    "conv_decoder",
    "conv_encoder",
    "dense_decoder",
    "dense_encoder",
    "grid_decoder",
    "grid_encoder",
]
