"""The command line: words to classes, and the flow from data to numbers and pictures."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from probgen import cli_reasoning

if TYPE_CHECKING:
    from probgen.data import Set
    from probgen.models import VAE
    from probgen.objectives import ELBO

DATA = ("digits", "mnist", "fashion-mnist", "cifar10")
LARGEST = 10**9
Recipe = dict[str, Any]

app = typer.Typer(
    help="Probabilistic graphs and deep generative models on Pyro.",
    epilog="Start with: `probgen train vae --data digits --epochs 100 --out runs/first`",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    add_completion=False,
)
data_app = typer.Typer(help="The data sets: what there is, and fetching it.", no_args_is_help=True)
app.add_typer(data_app, name="data")
cli_reasoning.register(app)

RunFolder = Annotated[Path, typer.Argument(help="A run's folder, as given to train --out.")]
Device = Annotated[str, typer.Option(help="auto (CUDA if there is any), cpu, cuda, cuda:1 ...")]
DataOption = Annotated[
    str,
    typer.Option(
        help=f"{', '.join(DATA)}, or a folder of images (subfolders: classes).",
        rich_help_panel="Data",
    ),
]
OtherData = Annotated[
    Path | None, typer.Option("--data", help="The images, where a run was trained on a folder.")
]


TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Also write TensorBoard events into the folder.")
]


def _option(panel: str) -> Any:
    return lambda text: typer.Option(help=text, rich_help_panel=panel)


_data_option, _model_option = _option("Data"), _option("Model")
_objective_option, _training_option = _option("Objective"), _option("Training")


class CommandError(ValueError):
    """Words on the command line that do not go together."""


@app.command()
def train(
    model: Annotated[Literal["vae"], typer.Argument(help="What to train.")],
    data: DataOption = "digits",
    binarize: Annotated[bool, _data_option("Draw each pixel as 0 or 1, anew each time.")] = False,
    validation: Annotated[float, _data_option("Share of the training set held out.")] = 0.0,
    net: Annotated[Literal["dense", "conv"], _model_option("Encoder and decoder.")] = "dense",
    latent: Annotated[int, _model_option("Dimensions of the latent.")] = 16,
    hidden: Annotated[int, _model_option("Width of the hidden dense layer.")] = 400,
    likelihood: Annotated[
        Literal["bernoulli", "gaussian", "gaussian-learned", "gaussian-optimal"],
        _model_option("p(x | z); the Gaussian's sigma is fixed, learned, or each batch's best."),
    ] = "bernoulli",
    sigma: Annotated[float, _model_option("Sigma of the Gaussian, or where it starts.")] = 1.0,
    objective: Annotated[Literal["elbo", "beta"], _objective_option("What to maximise.")] = "elbo",
    beta: Annotated[float, _objective_option("Weight of the KL in the beta objective.")] = 1.0,
    warmup: Annotated[int, _objective_option("Steps over which beta rises from 0.")] = 0,
    epochs: Annotated[int, _training_option("Passes over the training set.")] = 20,
    batch_size: Annotated[int, _training_option("Images per step.")] = 128,
    lr: Annotated[float, _training_option("Adam's learning rate.")] = 1e-3,
    clip_norm: Annotated[float | None, _training_option("Greatest gradient norm.")] = None,
    patience: Annotated[
        int | None, _training_option("Stop after so many epochs without a better validation.")
    ] = None,
    precision: Annotated[
        Literal["float32", "tf32", "bfloat16"], _training_option("Of matrix products.")
    ] = "float32",
    seed: Annotated[int, _training_option("Of the split, weights, batches and samples.")] = 0,
    device: Device = "auto",
    tensorboard: TensorBoard = False,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder.", show_default="runs/MODEL-DATA")
    ] = None,
) -> None:
    """Train a model; show its test ELBO, samples and reconstructions.

    A run that is stopped with Ctrl-C, or killed, goes on with `probgen resume`.

    Example: `probgen train vae --data fashion-mnist --net conv --latent 64 --objective beta
    --beta 4 --epochs 20 --out runs/x`
    """
    given = locals()
    recipe = {name: given[name] for name in _RECIPE}
    folder = out or Path("runs") / f"{model}-{Path(data).name}"
    _train(recipe, data, folder, device, tensorboard, resume=False)


@app.command()
def resume(
    folder: RunFolder,
    epochs: Annotated[int | None, typer.Option(help="A new total of epochs.")] = None,
    data: OtherData = None,
    device: Device = "auto",
    tensorboard: TensorBoard = False,
) -> None:
    """Go on with a run that was stopped, or train a finished one for more epochs."""
    recipe = _recipe(folder)
    recipe["epochs"] = epochs or recipe["epochs"]
    _train(recipe, _data_name(recipe, data), folder, device, tensorboard, resume=True)


@app.command()
def evaluate(
    folder: RunFolder,
    data: OtherData = None,
    particles: Annotated[int, typer.Option(help="Samples of the guide per image.")] = 1,
    seed: Annotated[int, typer.Option(help="Of those samples.")] = 0,
    device: Device = "auto",
) -> None:
    """Test ELBO and its terms, in nats per image; also into the run's scores.json."""
    recipe = _recipe(folder)
    pair = _trained(recipe, folder, device)
    _, _, test = _data(recipe, _data_name(recipe, data))
    _show_scores(folder, pair, test, particles, seed)


@app.command()
def sample(
    folder: RunFolder,
    n: Annotated[int, typer.Option("-n", help="How many.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the latents.")] = 0,
    out: Annotated[Path | None, typer.Option(help="PNG; samples.png in the run's folder.")] = None,
    device: Device = "auto",
) -> None:
    """Draw images from a trained model into one PNG."""
    pair = _trained(_recipe(folder), folder, device)
    _say(f"{n} samples: {_save_samples(out or folder / 'samples.png', pair, n, seed)}")


@data_app.command("list")
def list_data() -> None:
    """The data sets by name, with their size and whether they are here."""
    from rich.console import Console
    from rich.table import Table

    from probgen import data

    table = Table("name", "train + test", "shape", "where", "source", "licence", box=None)
    for known in data.available():
        sizes, shape = "{:,} + {:,}".format(*known.items), "x".join(map(str, known.shape))
        name = known.name.replace("_", "-")
        table.add_row(name, sizes, shape, known.where, known.source, known.licence)
    Console().print(table)
    _say(f"files are looked for in {data.root()} (set PROBGEN_DATA to change it)")


@data_app.command("get")
def get_data(name: Annotated[str, typer.Argument(help=", ".join(DATA))]) -> None:
    """Fetch a data set if it is not here yet, check it and say what it holds."""
    for part, found in zip(("train", "test"), _named_data(name), strict=True):
        _say(f"{found.name} {part}: {len(found):,} items of shape {found.shape}")


def main() -> None:
    """Run the command line; what is wrong with the input is one line."""
    try:
        app()
    except Exception as error:
        if not type(error).__module__.startswith("probgen."):
            raise
        print(f"probgen: {error}", file=sys.stderr)
        raise SystemExit(2) from None


_RECIPE = {
    "model": str, "data": str, "net": str, "latent": int, "hidden": int, "likelihood": str,
    "sigma": float, "binarize": bool, "objective": str, "beta": float, "warmup": int,
    "epochs": int, "batch_size": int, "lr": float, "clip_norm": float, "validation": float,
    "patience": int, "precision": str, "seed": int,
}  # fmt: skip
_OPTIONAL = ("clip_norm", "patience")


def _train(
    recipe: Recipe, data_name: str, folder: Path, device: str, tensorboard: bool, resume: bool
) -> None:
    from probgen import history, training

    training_set, validation, test = _data(recipe, data_name)
    pair = _pair(recipe, training_set.shape)
    names = ("epochs", "batch_size", "lr", "clip_norm", "patience", "precision", "seed")
    try:
        training.fit(
            pair,
            _objective(recipe),
            training_set,
            **{name: recipe[name] for name in names},
            validation=validation,
            device=device,
            checkpoint=folder,
            resume=resume,
            recipe=recipe | {"shape": list(training_set.shape)},
            log=history.tensorboard(folder / "tensorboard") if tensorboard else None,
        )
    except training.Interrupted as stop:
        print(f"probgen: {stop}", file=sys.stderr)
        raise typer.Exit(130) from None
    _show_scores(folder, pair, test, particles=1, seed=0)
    _say(f"samples: {_save_samples(folder / 'samples.png', pair, 64, recipe['seed'])}")
    _say(f"reconstructions: {_save_reconstructions(folder / 'reconstructions.png', pair, test)}")
    _say(f"run: {folder}")


def _recipe(folder: Path) -> Recipe:
    """The recipe in a run's folder, every value of the type it must have."""
    from probgen.run import Folder, RunError

    recipe = Folder(folder).facts().get("recipe")
    if not isinstance(recipe, dict):
        raise RunError(f"the run in {folder} was not trained by this command: load it in Python")
    for name, kind in _RECIPE.items():
        value = recipe.get(name)
        whole = kind is float and type(value) is int
        if type(value) is not kind and not whole and not (value is None and name in _OPTIONAL):
            raise RunError(f"expected {name}: {kind.__name__} in {folder}/run.json; got {value!r}")
    shape = recipe.get("shape")
    if not (isinstance(shape, list) and all(type(side) is int for side in shape)):
        raise RunError(f"expected shape: a list of sides in {folder}/run.json; got {shape!r}")
    return recipe


def _data_name(recipe: Recipe, folder: Path | None) -> str:
    if folder is None and recipe["data"] not in DATA:
        raise CommandError("this run was trained on a folder of images: name it with --data")
    return str(folder) if folder else recipe["data"]


def _data(recipe: Recipe, name: str) -> "tuple[Set, Set | None, Set]":
    """Training, validation and test set."""
    training, test = _named_data(name)
    if recipe["binarize"]:
        training, test = training.binarized(), test.binarized()
    if not recipe["validation"]:
        return training, None, test
    return *training.split(recipe["validation"], recipe["seed"]), test


def _named_data(name: str) -> "tuple[Set, Set]":
    from probgen import data

    if Path(name).is_dir() and name not in DATA:
        return data.images(name).split(0.1)
    if name not in DATA:
        raise CommandError(
            f"expected a data set ({', '.join(DATA)}) or a folder of images; got {name!r}"
        )
    return getattr(data, name.replace("-", "_"))()


def _pair(recipe: Recipe, shape: tuple[int, ...]) -> "VAE":
    import torch

    _sketch(recipe, shape)
    torch.manual_seed(recipe["seed"])
    return _built(recipe, shape)


def _sketch(recipe: Recipe, shape: tuple[int, ...]) -> "VAE":
    """The pair without memory for its weights, refused if it would need too much."""
    import torch

    try:
        with torch.device("meta"):
            sketch = _built(recipe, shape)
    except RuntimeError as error:
        raise CommandError(f"these sizes make no network: {error}") from error
    size = sum(parameter.numel() for parameter in sketch.parameters())
    if size > LARGEST:
        raise CommandError(f"expected at most {LARGEST:,} parameters; got {size:,}")
    return sketch


def _built(recipe: Recipe, shape: tuple[int, ...]) -> "VAE":
    from probgen import models, nets

    latent, hidden = recipe["latent"], recipe["hidden"]
    coders: dict[str, Any] = {
        "dense": lambda: (
            nets.dense_encoder(shape, latent, (hidden,)),
            nets.dense_decoder(latent, shape, (hidden,)),
        ),
        "conv": lambda: (
            nets.conv_encoder(shape, latent, hidden=hidden),
            nets.conv_decoder(latent, shape, hidden=hidden),
        ),
    }
    likelihoods: dict[str, Any] = {
        "bernoulli": models.Bernoulli,
        "gaussian": lambda: models.Gaussian(recipe["sigma"]),
        "gaussian-learned": lambda: models.Gaussian(recipe["sigma"], learned=True),
        "gaussian-optimal": models.OptimalGaussian,
    }
    known = {"net": coders, "likelihood": likelihoods, "model": {"vae": models.VAE}}
    for option, table in known.items():
        if recipe[option] not in table:
            raise CommandError(f"expected {option} {', '.join(table)}; got {recipe[option]!r}")
    encoder, decoder = coders[recipe["net"]]()
    return models.VAE(encoder, decoder, likelihoods[recipe["likelihood"]]())


def _objective(recipe: Recipe) -> "ELBO":
    from probgen import control, objectives

    beta, warmup = recipe["beta"], recipe["warmup"]
    if recipe["objective"] not in ("elbo", "beta"):
        raise CommandError(f"expected objective elbo or beta; got {recipe['objective']!r}")
    if recipe["objective"] == "elbo":
        if beta != 1 or warmup:
            raise CommandError("--beta and --warmup go with --objective beta")
        return objectives.ELBO()
    weight = control.Linear(0.0, beta, warmup) if warmup else beta
    return objectives.BetaELBO(weight)


def _trained(recipe: Recipe, folder: Path, device: str) -> "VAE":
    """The pair with its weights; sizes are compared with the file before memory is taken."""
    from probgen import training
    from probgen.run import Folder

    shape = tuple(recipe["shape"])
    weights = Folder(folder).read_weights(_sketch(recipe, shape))
    pair = _pair(recipe, shape)
    pair.load_state_dict(weights)
    return pair.to(training.place(device)).eval()


def _show_scores(folder: Path, pair: "VAE", test: "Set", particles: int, seed: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from probgen import checkpoint, evaluation

    terms = evaluation.likelihood.terms(pair, test, num_particles=particles, seed=seed)
    named = {"ELBO": terms.elbo, "log-likelihood": terms.log_likelihood, "KL": terms.total_kl}
    scores = {name: _mean_and_error(values) for name, values in named.items()}
    protocol = {"data": test.name, "part": "test", "n": len(test), "particles": particles}
    content = {"protocol": protocol | {"seed": seed, "unit": "nats per image"}, "scores": scores}
    checkpoint.write(folder / "scores.json", checkpoint.to_json(content))
    table = Table("test", "nats per image", "standard error", box=None)
    for name, score in scores.items():
        table.add_row(name, f"{score['mean']:.2f}", f"{score['standard_error']:.2f}")
    Console().print(table)
    _say(f"{len(test):,} images of {test.name}, {particles} sample(s) of the guide each")


def _mean_and_error(values: Any) -> dict[str, float]:
    error = values.std(correction=min(1, len(values) - 1)) / len(values) ** 0.5
    return {"mean": values.mean().item(), "standard_error": error.item()}


def _save_samples(path: Path, pair: "VAE", n: int, seed: int) -> Path:

    from probgen import report
    from probgen.evaluation.likelihood import at_rest

    with at_rest(pair, seed):
        return report.save_grid(path, pair.sample(n))


def _save_reconstructions(path: Path, pair: "VAE", test: "Set") -> Path:
    from probgen import report

    x, _ = test.to(pair.origin.device).batch(slice(0, 16))
    return report.save_grid(path, report.interleave(x, pair.reconstruct(x)), columns=8)


def _say(text: str) -> None:
    print(text)
