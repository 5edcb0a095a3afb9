"""A recipe: all that ``probgen train`` and a study say of a run, word by word."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from probgen.recipe.choices import (
    CODERS,
    DATA,
    EVERY,
    FACTORISED,
    Likelihood,
    Loss,
    Model,
    Net,
    Objective,
    Owner,
    Per,
    Precision,
    Prior,
    Schedule,
    Target,
    but,
    of,
)
from probgen.recipe.word import RENAMED, RecipeError, Word, suggestion

LR = 1e-3


def _word(
    default: Any,
    help: str,  # noqa: A002
    panel: str,
    *owners: Owner,
    **more: Any,
) -> Any:
    """A field of ``Recipe`` that carries what ``Word`` has of it."""
    about = {"help": help, "panel": panel, "owners": owners, **more}
    return field(default=default, metadata=about)


def _objective(*names: Objective) -> Owner:
    return {"objective": names}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """State a run: model, data, objective and training, one field for each word.

    Change a recipe with ``dataclasses.replace``. Whole numbers are taken for floats.

    Raises:
        RecipeError: a word that does not exist, or a value that its word does not take.

    >>> from dataclasses import replace
    >>> recipe = Recipe(objective="beta", beta=4)
    >>> replace(recipe, latent=8).beta
    4.0
    >>> Recipe(latnet=8)
    Traceback (most recent call last):
    probgen.recipe.word.RecipeError: expected words of a recipe; got 'latnet'; did you mean
    'latent'?
    """

    model: Model = _word("vae", "Model to train.", "Model", EVERY)

    data: str = _word(
        "digits",
        f"Data to train on: {', '.join(DATA)}, or a folder of images whose subfolders are the "
        "classes.",
        "Data",
        EVERY,
    )
    side: int | None = _word(
        None, "Resize a folder's images to this many pixels per side.", "Data", EVERY, least=1
    )
    limit: int | None = _word(
        None,
        "Use at most this many images of the training set, and of the test set, chosen at random.",
        "Data",
        EVERY,
        least=1,
    )
    binarize: bool = _word(
        False,
        "Draw each pixel as 0 or 1, its brightness being the probability of 1, anew each time "
        "the image is used.",
        "Data",
        EVERY,
    )
    validation: float = _word(
        0.0,
        "Hold out this fraction of the training set for validation.",
        "Data",
        EVERY,
        least=0,
        most=1,
    )

    net: Net = _word(
        "dense",
        "Kind of network that the model is built from.",
        "Model",
        but("vq", "sparse"),
        choice_owners={"gated": CODERS, "subpixel": of("gan")},
    )
    latent: int = _word(
        16,
        "Number of latent dimensions; of a vq, the width of its codes; of sparse, the number of "
        "its atoms.",
        "Model",
        but("diffusion"),
        least=1,
    )
    hidden: int = _word(
        400,
        "Number of units in each hidden dense layer.",
        "Model",
        CODERS,
        of("gan", "diffusion") | {"net": ("dense",)},
        least=1,
    )
    likelihood: Likelihood = _word(
        "bernoulli",
        "Distribution of an image given its latent, p(x | z). The sigma of the Gaussian is fixed "
        "(gaussian), learned, or the best for each batch (gaussian-optimal).",
        "Model",
        but("gan", "diffusion"),
    )
    sigma: float = _word(
        1.0,
        "Standard deviation of the Gaussian; where it is learned, the value to start from.",
        "Model",
        {"likelihood": ("gaussian", "gaussian-learned")},
        above=0,
    )
    prior: Prior = _word(
        "normal", "Distribution of the latent, p(z).", "Model", of("vae", "conditional")
    )
    components: int = _word(
        50,
        "Number of components of a mixture prior (for each class of a conditional model), or of "
        "pseudo-inputs of a VampPrior.",
        "Model",
        of("vampprior"),
        {"prior": ("mixture",)},
        least=1,
    )
    codes: int = _word(512, "Number of codes in the codebook.", "Model", of("vq"), least=1)
    penalty: float = _word(
        0.1, "Weight of the L1 norm that makes the codes sparse.", "Model", of("sparse"), above=0
    )
    noise: float = _word(
        0.0,
        "Standard deviation of the noise that is added to the images in training.",
        "Model",
        of("autoencoder"),
        least=0,
    )

    noise_steps: int = _word(
        1000,
        "Number of steps from the data to pure noise.",
        "Diffusion",
        of("diffusion"),
        least=1,
        most=100_000,
    )
    schedule: Schedule = _word(
        "cosine", "How the noise grows over the steps.", "Diffusion", of("diffusion")
    )
    predicts: Target = _word(
        "v",
        "What the network predicts: the noise (epsilon), the velocity (v) or the image (x0).",
        "Diffusion",
        of("diffusion"),
    )
    width: int = _word(
        32,
        "Number of channels at the top of the U-Net.",
        "Diffusion",
        of("diffusion") | {"net": ("conv",)},
        least=1,
    )
    blocks: int = _word(
        1,
        "Number of residual blocks at each resolution of the U-Net.",
        "Diffusion",
        of("diffusion") | {"net": ("conv",)},
        least=1,
        most=32,
    )
    patch: int = _word(
        1,
        "Side of the squares of pixels that the U-Net takes as one.",
        "Diffusion",
        of("diffusion") | {"net": ("conv",)},
        least=1,
    )
    by_class: bool = _word(
        False,
        "Learn the images of each class too, for `probgen sample` with --label and --guidance.",
        "Diffusion",
        of("diffusion"),
    )

    objective: Objective = _word(
        "elbo",
        "Objective to maximise.",
        "Objective",
        but("gan", "autoencoder"),
        choice_owners={
            "total-correlation": FACTORISED,
            "iwae": FACTORISED,
            "simple": of("diffusion"),
        },
    )
    beta: float = _word(
        1.0,
        "Weight of the KL, or of the total correlation; with controlled, the weight to start "
        "from.",
        "Objective",
        _objective("beta", "controlled", "total-correlation"),
        least=0,
    )
    warmup: int = _word(
        0,
        "Number of steps over which the weight, the target or the capacity rises from 0.",
        "Objective",
        _objective("beta", "controlled", "capacity"),
        least=0,
    )
    target_kl: float | None = _word(
        None,
        "KL divergence to hold, in nats per image.",
        "Objective",
        _objective("controlled"),
        least=0,
        needed=True,
    )
    tolerance: float | None = _word(
        None,
        "Reconstruction error to allow, in nats per image.",
        "Objective",
        _objective("geco"),
        needed=True,
    )
    kp: float = _word(
        1.0,
        "Proportional gain of the controller.",
        "Objective",
        _objective("controlled", "geco"),
        least=0,
    )
    ki: float = _word(
        0.02,
        "Integral gain of the controller.",
        "Objective",
        _objective("controlled", "geco"),
        least=0,
    )
    beta_min: float = _word(
        0.0,
        "Smallest weight that the controller may choose.",
        "Objective",
        _objective("controlled"),
        least=0,
    )
    beta_max: float = _word(
        100.0,
        "Largest weight that the controller may choose.",
        "Objective",
        _objective("controlled"),
        least=0,
    )
    gamma: float | None = _word(
        None,
        "Weight of the distance between the KL and the capacity.",
        "Objective",
        _objective("capacity"),
        least=0,
        needed=True,
    )
    capacity: float | None = _word(
        None,
        "KL divergence to aim at, in nats per image.",
        "Objective",
        _objective("capacity"),
        least=0,
        needed=True,
    )
    free_bits: float | None = _word(
        None,
        "KL divergence that costs nothing, in nats.",
        "Objective",
        _objective("free-bits"),
        least=0,
        needed=True,
    )
    per: Per = _word(
        "dimension",
        "Give each latent dimension, or each latent site as a whole, its free nats.",
        "Objective",
        _objective("free-bits"),
    )
    num_particles: int | None = _word(
        None,
        "Number of samples from the guide for each image.",
        "Objective",
        _objective("iwae"),
        least=1,
        needed=True,
    )
    loss: Loss = _word(
        "non-saturating",
        "Loss of the generator and the discriminator.",
        "Objective",
        of("gan"),
        choice_owners={"self-supervised": {"net": ("conv", "subpixel")}},
    )
    critic_steps: int | None = _word(
        None,
        "Number of discriminator steps for each generator step; unless given, that of the loss.",
        "Objective",
        of("gan"),
        least=1,
    )

    epochs: int = _word(20, "Number of passes over the training set.", "Training", EVERY, least=1)
    batch_size: int = _word(128, "Number of images in a step.", "Training", EVERY, least=1)
    lr: float | None = _word(
        None,
        f"Learning rate; unless given, {LR:g}, or for a GAN that of its loss.",
        "Training",
        EVERY,
        above=0,
    )
    clip_norm: float | None = _word(
        None,
        "Scale the gradients down where their norm exceeds this.",
        "Training",
        but("gan"),
        above=0,
    )
    patience: int | None = _word(
        None,
        "Stop when the validation loss has not improved for this many epochs.",
        "Training",
        but("gan"),
        least=1,
    )
    precision: Precision = _word(
        "float32",
        "Precision of matrix products.",
        "Training",
        EVERY,
        choice_owners={"bfloat16": but("gan")},
    )
    seed: int = _word(
        0,
        "Seed of the validation split, the initial weights, the batches and the random samples.",
        "Training",
        EVERY,
        least=0,
        most=2**48 - 1,
    )

    def __new__(cls, **words: Any) -> Self:
        """Refuse unknown words, which a dataclass would refuse as a TypeError."""
        for name in words:
            if name not in WORDS:
                new = RENAMED.get(name)
                near = f": it is now {new!r}" if new else suggestion(name, WORDS)
                raise RecipeError(f"expected words of a recipe; got {name!r}{near}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        """Check every value, and keep whole numbers for floats as floats."""
        for word in WORDS.values():
            object.__setattr__(self, word.name, word.checked(getattr(self, word.name)))


def _described() -> dict[str, Word]:
    hints = get_type_hints(Recipe)
    found = {}
    for one in fields(Recipe):
        hint = hints[one.name]
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        kinds = () if choices else get_args(hint)  # of `int | None`
        kind = str if choices else kinds[0] if kinds else hint
        found[one.name] = Word(
            one.name, kind, type(None) in kinds, one.default, choices=choices, **one.metadata
        )
    return found


WORDS: dict[str, Word] = _described()
"""Every word of a recipe by its name."""
