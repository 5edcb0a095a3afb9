"""The command line: from words to data to numbers and pictures."""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from probgen.cli import reasoning as cli_reasoning
from probgen.cli.tables import _print, _show
from probgen.recipe import training as recipes
from probgen.recipe.words import DATA, DEFAULTS, Recipe

if TYPE_CHECKING:
    from probgen.data import Set
    from probgen.evaluation import Score
    from probgen.lowering import How
    from probgen.objectives import Codec

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
Lower = Annotated[
    Literal["auto", "graph", "inductor", "eager"],
    typer.Option(
        help="How steps run: recorded and replayed (graph), compiled too (inductor), neither "
        "(eager), or what the length of the run pays for (auto).",
    ),
]
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
DataName = Annotated[str, typer.Argument(help=f"{', '.join(DATA)}, or a folder of images.")]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Also write TensorBoard events into the folder.")
]


METRICS = ("fid", "kid", "prdc", "is", "memorization", "classes", "mig", "nll")
"""What --metrics takes; ``scoring`` has what they are."""


def _option(panel: str) -> Any:
    return lambda text: typer.Option(help=text, rich_help_panel=panel)


_data_option, _model_option = _option("Data"), _option("Model")
_diffusion_option = _option("Diffusion")
_objective_option, _training_option = _option("Objective"), _option("Training")


@app.command()
def train(
    model: Annotated[
        Literal[
            "vae", "conditional", "vampprior", "vq", "sparse", "autoencoder", "diffusion", "gan"
        ],
        typer.Argument(help="What to train."),
    ],
    data: DataOption = "digits",
    side: Annotated[
        int | None, _data_option("Of the squares that a folder's images are stretched to.")
    ] = None,
    limit: Annotated[
        int | None,
        _data_option(
            "At most so many images of each part: a draw, of the training set by the seed."
        ),
    ] = None,
    binarize: Annotated[bool, _data_option("Draw each pixel as 0 or 1, anew each time.")] = False,
    validation: Annotated[float, _data_option("Share of the training set held out.")] = 0.0,
    net: Annotated[
        Literal["dense", "gated", "conv", "subpixel"],
        _model_option("Encoder and decoder; of a gan both players, conv being DCGAN's."),
    ] = "dense",
    latent: Annotated[
        int, _model_option("Dimensions of the latent; of a vq's features, a sparse one's atoms.")
    ] = 16,
    hidden: Annotated[int, _model_option("Width of the hidden dense layer.")] = 400,
    likelihood: Annotated[
        Literal[
            "bernoulli",
            "continuous-bernoulli",
            "discretized-logistic",
            "gaussian",
            "gaussian-learned",
            "gaussian-optimal",
        ],
        _model_option("p(x | z); the Gaussian's sigma is fixed, learned, or each batch's best."),
    ] = "bernoulli",
    sigma: Annotated[float, _model_option("Sigma of the Gaussian, or where it starts.")] = 1.0,
    prior: Annotated[
        Literal["normal", "mixture", "flow"], _model_option("p(z) of vae and conditional.")
    ] = "normal",
    components: Annotated[
        int,
        _model_option("Of a mixture prior (per class of a conditional); a vampprior's inputs."),
    ] = 50,
    codes: Annotated[int, _model_option("Size of a vq's codebook.")] = 512,
    penalty: Annotated[float, _model_option("Weight of the l1 norm in a sparse encoder.")] = 0.1,
    noise: Annotated[float, _model_option("On an autoencoder's input in training.")] = 0.0,
    noise_steps: Annotated[int, _diffusion_option("Steps from data to noise.")] = 1000,
    schedule: Annotated[
        Literal["cosine", "linear"], _diffusion_option("Of the noise.")
    ] = "cosine",
    predicts: Annotated[
        Literal["epsilon", "v", "x0"], _diffusion_option("What the network estimates.")
    ] = "v",
    width: Annotated[int, _diffusion_option("Channels of a conv net (U-Net) at its top.")] = 32,
    blocks: Annotated[int, _diffusion_option("Residual blocks of each width of a U-Net.")] = 1,
    patch: Annotated[
        int, _diffusion_option("Side of the squares of pixels a U-Net sees as one.")
    ] = 1,
    by_class: Annotated[
        bool, _diffusion_option("Learn p(x | class) too, for sample --guidance.")
    ] = False,
    objective: Annotated[
        Literal[
            "elbo",
            "beta",
            "controlled",
            "geco",
            "capacity",
            "free-bits",
            "total-correlation",
            "iwae",
            "simple",
        ],
        _objective_option("What to maximise."),
    ] = "elbo",
    beta: Annotated[
        float,
        _objective_option(
            "beta: weight of the KL. total-correlation: of its part. controlled: where it starts."
        ),
    ] = 1.0,
    warmup: Annotated[
        int, _objective_option("Steps over which beta, the target or the capacity rises from 0.")
    ] = 0,
    target_kl: Annotated[
        float | None, _objective_option("controlled: the KL to hold, nats per image.")
    ] = None,
    tolerance: Annotated[
        float | None, _objective_option("geco: reconstruction error to allow, nats per image.")
    ] = None,
    kp: Annotated[float, _objective_option("controlled, geco: proportional gain.")] = 1.0,
    ki: Annotated[float, _objective_option("controlled, geco: integral gain.")] = 0.02,
    beta_min: Annotated[float, _objective_option("controlled: least beta.")] = 0.0,
    beta_max: Annotated[float, _objective_option("controlled: greatest beta.")] = 100.0,
    gamma: Annotated[
        float | None, _objective_option("capacity: weight of the KL's distance from it.")
    ] = None,
    capacity: Annotated[
        float | None, _objective_option("capacity: nats per image for the KL.")
    ] = None,
    free_bits: Annotated[
        float | None, _objective_option("free-bits: nats that cost nothing.")
    ] = None,
    per: Annotated[
        Literal["dimension", "site"], _objective_option("free-bits: what they are free for.")
    ] = "dimension",
    k: Annotated[int | None, _objective_option("iwae: samples of the guide per image.")] = None,
    loss: Annotated[
        Literal["non-saturating", "wasserstein", "wasserstein-gp", "hinge", "self-supervised"],
        _objective_option("gan: what its players minimise."),
    ] = "non-saturating",
    critic_steps: Annotated[
        int | None,
        _objective_option("gan: discriminator steps for one of the generator; None: the loss's."),
    ] = None,
    epochs: Annotated[int, _training_option("Passes over the training set.")] = 20,
    batch_size: Annotated[int, _training_option("Images per step.")] = 128,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate.",
            show_default=f"{recipes.LR:g}, of a gan its loss's",
            rich_help_panel="Training",
        ),
    ] = None,
    clip_norm: Annotated[float | None, _training_option("Greatest gradient norm.")] = None,
    patience: Annotated[
        int | None, _training_option("Stop after so many epochs without a better validation.")
    ] = None,
    precision: Annotated[
        Literal["float32", "tf32", "bfloat16"], _training_option("Of matrix products.")
    ] = "float32",
    seed: Annotated[int, _training_option("Of the split, weights, batches and samples.")] = 0,
    device: Device = "auto",
    lower: Lower = "auto",
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
    folder = out or Path("runs") / f"{model}-{Path(data).resolve().name}"
    images = None if data in DATA else Path(data)
    recipe = {name: given[name] for name in DEFAULTS}
    _train(recipe, folder, images, device, lower, tensorboard)


@app.command()
def resume(
    folder: RunFolder,
    epochs: Annotated[int | None, typer.Option(help="A new total of epochs.")] = None,
    data: OtherData = None,
    device: Device = "auto",
    lower: Lower = "auto",
    tensorboard: TensorBoard = False,
) -> None:
    """Go on with a run that was stopped, or train a finished one for more epochs."""
    from probgen.run.folder import Folder

    recipe = recipes.read(folder)
    if epochs in (None, recipe["epochs"]) and "results" in Folder(folder).facts():
        print(f"{folder} is finished: probgen resume {folder} --epochs N trains it for more")
    recipe["epochs"] = recipe["epochs"] if epochs is None else epochs
    _train(recipe, folder, data, device, lower, tensorboard, resume=True)


@app.command()
def evaluate(
    folder: RunFolder,
    metrics: Annotated[
        str, typer.Option(help=f"Others, by commas: {', '.join(METRICS)}.", show_default="none")
    ] = "",
    features: Annotated[
        str,
        typer.Option(help="auto (the data's classifier), a classifier, inception, a .pth file."),
    ] = "auto",
    level: Annotated[float, typer.Option(help="Confidence of the intervals; 0 for none.")] = 0.95,
    data: OtherData = None,
    num_particles: Annotated[int, typer.Option(help="Samples of the guide per image.")] = 1,
    n: Annotated[int, typer.Option("--n", help="nll: test images, drawn by the seed.")] = 500,
    nll_num_particles: Annotated[
        int, typer.Option(help="nll: samples of the guide per image.")
    ] = 1000,
    seed: Annotated[int, typer.Option(help="Of all samples.")] = 0,
    device: Device = "auto",
) -> None:
    """Test ELBO and its terms, in nats per image, and metrics; also into the run's scores.json.

    Metrics that are there already, of the same weights, stay. Each new one is written when it is
    done: Ctrl-C keeps them. With --metrics the run's page is written anew. A metric that the model
    or the data do not allow is named at the end; the others are written.

    Example: `probgen evaluate runs/x --metrics fid,kid,prdc`
    """
    from probgen import report
    from probgen.evaluation import EvaluationError, likelihood

    words = _known_metrics(metrics)
    recipe = recipes.read(folder)
    parts = recipes.sets(recipe, data)
    pair = recipes.trained(folder, device)
    scores = likelihood.scores(pair, parts.test, num_particles=num_particles, seed=seed)
    found = report.saved_metrics(folder)
    if words:
        from probgen.evaluation import scoring

        def keep(new: "Sequence[Score]") -> None:
            nonlocal found
            names = {one.name for one in new}
            found = (*(one for one in found if one.name not in names), *new)
            report.save_scores(folder, scores, found)

        training, test = parts.training, parts.test
        seen = scoring.Inputs(
            pair, training, test, features, seed=seed, n=n, num_particles=nll_num_particles
        )
        try:
            _, failed = scoring.measured(
                words, seen, level=level or None, keep=keep, begin=_say_begun
            )
        except KeyboardInterrupt:
            kept = ", ".join(one.name for one in found) or "none"
            print(f"probgen: stopped; metrics in {folder}/scores.json: {kept}", file=sys.stderr)
            raise typer.Exit(130) from None
    _show(folder, scores, found)
    if words:
        history = report.history(folder)
        print(f"report: {report.save(folder, history, pair, parts.test, scores)}")
        if failed:
            raise EvaluationError("; ".join(failed))


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    as_csv: Annotated[
        bool, typer.Option("--csv", help="A row for each score of each run, for programs.")
    ] = False,
) -> None:
    """Scores of runs side by side, those that were got in the same way; others are refused.

    Example: `probgen compare runs/beta-1 runs/beta-4`
    """
    from probgen import report

    if as_csv:
        rows = report.tidy(folders)
        writer = csv.DictWriter(sys.stdout, report.scores.COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return
    for table in report.side_by_side(folders):
        _print(table)


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    out: Annotated[
        Path | None, typer.Option(help="Where a comparison goes.", show_default="runs/comparison")
    ] = None,
    data: OtherData = None,
    device: Device = "auto",
) -> None:
    """One page on a run, or one that compares several.

    Example: `probgen report runs/beta-1 runs/beta-4 --out runs/betas`
    """
    from probgen import report

    if out and len(folders) == 1:
        raise report.ReportError("--out goes with several runs: one run's page is in its folder")
    runs = [report.load(folder, data, device) for folder in folders]
    if len(runs) > 1:
        page = report.compare(out or Path("runs") / "comparison", runs)
    else:
        only = runs[0]
        page = report.save(folders[0], only.history, only.pair, only.data, only.scores)
    print(f"report: {page}")


@app.command()
def sample(
    folder: RunFolder,
    n: Annotated[int, typer.Option("-n", help="How many.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the latents.")] = 0,
    label: Annotated[int | None, typer.Option(help="Class of all images, from 0.")] = None,
    steps: Annotated[
        int | None, _diffusion_option("Evaluations of the network; 20 unless given.")
    ] = None,
    sampler: Annotated[
        Literal["ancestral", "ddim", "dpm-solver"], _diffusion_option("How to go from noise.")
    ] = "dpm-solver",
    guidance: Annotated[
        float, _diffusion_option("1 for none; more leans towards the class.")
    ] = 1.0,
    out: Annotated[Path | None, typer.Option(help="PNG; samples.png in the run's folder.")] = None,
    device: Device = "auto",
) -> None:
    """Draw images from a trained model into one PNG.

    Example: `probgen sample runs/x --label 3 --steps 50 --guidance 2`
    """
    from probgen import models, report
    from probgen.models.pairs import takes_labels

    pair = recipes.trained(folder, device)
    settings: dict[str, Any] = {}
    if isinstance(pair, models.Diffusion):
        chosen = getattr(models.samplers, sampler.replace("-", "_"))
        settings = {"steps": steps, "sampler": chosen, "guidance": guidance}
    elif (steps, sampler, guidance) != (None, "dpm-solver", 1.0):
        raise recipes.RecipeError("--steps, --sampler and --guidance go with diffusion")
    if label is not None and not takes_labels(pair):
        kind = type(pair).__name__
        raise recipes.RecipeError(f"--label goes with models of classes; this {kind} has none")
    images = report.pictures.samples(pair, n, seed, label, **settings)
    print(f"{n} samples: {report.save_grid(out or folder / 'samples.png', images)}")


@data_app.command("list")
def list_data() -> None:
    """The data sets by name, with their size and whether they are here."""
    from rich.console import Console
    from rich.table import Table

    from probgen import data

    table = Table("name", "train + test", "shape", "where", "source", "licence", box=None)
    for column in table.columns:
        column.overflow = "fold"
    for known in data.available():
        sizes, shape = "{:,} + {:,}".format(*known.items), "x".join(map(str, known.shape))
        table.add_row(known.name, sizes, shape, known.where, known.source, known.licence)
    Console().print(table)
    print(f"files are looked for in {data.root()} (set PROBGEN_DATA to change it)")


@data_app.command("get")
def get_data(name: DataName) -> None:
    """Fetch a data set if it is not here yet, check it and say what it holds."""
    for part, found in zip(("train", "test"), recipes.named(name), strict=True):
        print(f"{found.name} {part}: {len(found):,} items of shape {found.shape}")


@data_app.command("show")
def show_data(
    name: DataName,
    side: Annotated[
        int | None, typer.Option(help="Of the squares that a folder's images are stretched to.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder.", show_default="runs/data-NAME")
    ] = None,
) -> None:
    """Look at a data set: one page of counts, pixels, contact sheets and mean images."""
    from probgen import report

    parts = dict(zip(("train", "test"), recipes.named(name, side), strict=True))
    folder = out or Path("runs") / f"data-{Path(name).resolve().name}"
    print(f"report: {report.save_data(folder, parts)}")


def main() -> None:
    """Run the command line; what is wrong with the input is one line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a path may hold what a terminal cannot show
    try:
        app()
    except Exception as error:
        if not type(error).__module__.startswith("probgen."):
            raise
        print(f"probgen: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None


def _train(
    recipe: Recipe,
    folder: Path,
    images: Path | None,
    device: str,
    lower: "How",
    tensorboard: bool,
    resume: bool = False,
) -> None:
    from probgen import models, report, training
    from probgen.evaluation import likelihood
    from probgen.objectives import Codec
    from probgen.run import history

    log = history.tensorboard(folder / "tensorboard") if tensorboard else None
    try:
        settings: Any = {"device": device, "lower": lower, "resume": resume, "log": log}
        done = recipes.train(recipe, folder, images=images, **settings)
    except training.Interrupted as stop:
        print(f"probgen: {stop}", file=sys.stderr)
        raise typer.Exit(130) from None
    scores = likelihood.scores(done.pair, done.test)
    _show(folder, scores)
    try:
        samples = report.pictures.samples(done.pair, 64)
        print(f"samples: {report.save_grid(folder / 'samples.png', samples)}")
    except models.ModelError as missing:
        print(f"no samples: {missing}")
    if isinstance(done.pair, Codec):
        print(f"reconstructions: {_save_reconstructions(folder, done.pair, done.test)}")
    print(f"report: {report.save(folder, done.history, done.pair, done.test, scores)}")


def _save_reconstructions(folder: Path, pair: "Codec", test: "Set") -> Path:
    from probgen import report

    shown = report.pictures.items(pair, test, 16)
    pairs = report.interleave(shown.x, report.pictures.reconstruction(pair, shown))
    return report.save_grid(folder / "reconstructions.png", pairs, columns=8)


def _say_begun(metric: str) -> None:
    """On a terminal, as some metrics take minutes."""
    if sys.stderr.isatty():
        print(f"{metric} ...", file=sys.stderr)


def _known_metrics(words: str) -> list[str]:
    found = [word.strip() for word in words.split(",") if word.strip()]
    for word in found:
        if word not in METRICS:
            raise recipes.RecipeError(f"expected metrics {', '.join(METRICS)}; got {word!r}")
    return found
