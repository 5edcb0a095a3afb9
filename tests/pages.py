"""Pages read back, and the small runs that they show."""

import html.parser

import torch

from probgen import data, models, nets, objectives, training
from probgen.evaluation import likelihood


class Reader(html.parser.HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def read(path):
    return Reader(path.read_text())


def labelled(n=40, shape=(1, 8, 8), **known):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (n, *shape), generator=generator, dtype=torch.uint8)
    if len(shape) != 3:
        x = x / 255
    return data.arrays(x, name="some", **known)


def fitted(part, latent=3, **settings):
    torch.manual_seed(0)
    vae = models.VAE(
        nets.dense_encoder(part.shape, latent, (8,)),
        nets.dense_decoder(latent, part.shape, (8,)),
        models.Gaussian(),
    )
    objective = objectives.BetaELBO(2.0)
    return vae, training.fit(vae, objective, part, steps=6, batch_size=8, log_every=2, **settings)


def scores(vae, part):
    return likelihood.scores(vae, part)
