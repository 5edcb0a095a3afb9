"""What named sets there are, and where they would come from."""

from typing import NamedTuple

from probgen.data.cifar import has_jpegs, has_original
from probgen.data.classics import FASHION_MNIST, MNIST
from probgen.data.fetching import find, root
from probgen.data.sprites import ARCHIVE


class Entry(NamedTuple):
    """A named set: ``data.NAME()`` returns it as (train, test) of ``items`` images."""

    name: str
    items: tuple[int, int]
    shape: tuple[int, int, int]
    where: str
    source: str
    licence: str


def available() -> list[Entry]:
    """The named sets; ``where`` is "embedded" (dsprites: rendered), "on disk" or "to download".

    Licences are what the named source states and no more.

    Example:
        >>> [entry.name for entry in available()]
        ['digits', 'dsprites', 'mnist', 'fashion-mnist', 'cifar10']
    """
    mnist, fashion = (
        _where(all(find(file.path) for file in files)) for files in (MNIST, FASHION_MNIST)
    )
    cifar = _where(has_original() or has_jpegs())
    sprites = "on disk" if (root() / ARCHIVE).is_file() else "embedded"
    uci = "scikit-learn; Alpaydin and Kaynak, UCI 1998", "CC BY 4.0"
    deepmind = "Matthey, Higgins, Hassabis and Lerchner, 2017", "Apache-2.0"
    lecun = "LeCun, Cortes and Burges", "none stated"
    zalando = "Zalando Research, arXiv:1708.07747", "MIT"
    krizhevsky = "Krizhevsky, University of Toronto, 2009", "none stated"
    return [
        Entry("digits", (1_500, 297), (1, 8, 8), "embedded", *uci),
        Entry("dsprites", (663_552, 73_728), (1, 64, 64), sprites, *deepmind),
        Entry("mnist", (60_000, 10_000), (1, 28, 28), mnist, *lecun),
        Entry("fashion-mnist", (60_000, 10_000), (1, 28, 28), fashion, *zalando),
        Entry("cifar10", (50_000, 10_000), (3, 32, 32), cifar, *krizhevsky),
    ]


def _where(on_disk: bool) -> str:
    return "on disk" if on_disk else "to download"
