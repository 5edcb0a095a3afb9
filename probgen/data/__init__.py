"""Data sets: named ones as (train, test), a user's own as one Set; all resident in memory."""

from probgen.data.catalogue import Entry, available
from probgen.data.cifar import cifar10
from probgen.data.classics import digits, fashion_mnist, mnist
from probgen.data.fetching import Mismatch, root
from probgen.data.image_folder import images
from probgen.data.set import DataError, Set, Statistics, arrays
from probgen.data.sprites import dsprites, render_dsprites

__all__ = [
    "DataError",
    "Entry",
    "Mismatch",
    "Set",
    "Statistics",
    "arrays",
    "available",
    "cifar10",
    "digits",
]
__all__ += ["dsprites", "fashion_mnist", "images", "mnist", "render_dsprites", "root"]
