"""`probgen train` and `resume`: an option for each word of a recipe, then training and a page."""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core
import typer.main

from probgen.cli.options import Images, Lower, RunDevice, RunFolder, TensorBoard, run_option
from probgen.cli.tables import show_scores
from probgen.recipe import training as recipes
from probgen.recipe.choices import ABOUT, DATA, MODELS, Model
from probgen.recipe.owners import beside, choices_of, taken_by
from probgen.recipe.word import RecipeError, Word, suggestion
from probgen.recipe.words import WORDS, Recipe
from probgen.recipe.written import read

if TYPE_CHECKING:
    from probgen.data import Set
    from probgen.lowering import How
    from probgen.objectives import Codec

EXAMPLES: dict[Model, str] = {
    "vae": "--data fashion-mnist --net conv --latent 64 --objective beta --beta 4",
    "conditional": "--data fashion-mnist --net conv --prior mixture --components 20",
    "vampprior": "--data mnist --net gated --latent 40 --components 200 --binarize",
    "vq": "--data fashion-mnist --latent 64 --codes 512 --likelihood gaussian",
    "sparse": "--data digits --latent 100 --penalty 0.5 --likelihood gaussian --sigma 0.1",
    "autoencoder": "--data fashion-mnist --net conv --latent 64 --noise 0.1",
    "diffusion": "--data fashion-mnist --net conv --patch 2 --by-class --objective simple",
    "gan": "--data mnist --net conv --loss wasserstein-gp --epochs 7",
}
"""Options to try each model with."""

Out = Annotated[Path | None, run_option("Folder for the run.", show_default="runs/MODEL-DATA")]


class Models(typer.core.TyperGroup):
    """A command for each model, made when it is asked for: forty options take their time."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Name the models."""
        return list(MODELS)

    def get_command(self, ctx: typer.Context, name: str) -> Any:  # type: ignore[override]
        """Return the command that trains a model."""
        if name not in ABOUT:
            known, near = ", ".join(MODELS), suggestion(name, MODELS)
            raise RecipeError(f"expected a model after train ({known}); got {name!r}{near}")
        alone = typer.Typer(rich_markup_mode="markdown", add_completion=False)
        example = f"Example: `probgen train {name} {EXAMPLES[name]}`"
        alone.command(name, help=ABOUT[name], epilog=example, rich_help_panel="Models")(
            train(name)
        )
        return typer.main.get_command(alone)


train_app = typer.Typer(
    cls=Models,
    help="Train a model, then show its scores on the test set, samples and reconstructions.\n\n"
    "Each model has options of its own: `probgen train vae --help` shows those of a VAE.\n\n"
    "A run that is stopped with Ctrl-C, or killed, goes on with `probgen resume`.",
    short_help="Train a model and show its scores, samples and reconstructions.",
    epilog=f"Example: `probgen train vae {EXAMPLES['vae']} --out runs/beta-4`",
    no_args_is_help=True,
    context_settings={"ignore_unknown_options": True},  # so that an option first is no model
    subcommand_metavar="MODEL [OPTIONS]",
)


def train(model: Model) -> Callable[..., None]:
    """Return the command that trains a model, whose options are the words of a recipe."""

    def command(
        device: RunDevice = "auto",
        lower: Lower = "auto",
        tensorboard: TensorBoard = False,
        out: Out = None,
        **words: Any,
    ) -> None:
        recipe = Recipe(model=model, **words)
        folder = out or Path("runs") / f"{model}-{Path(recipe.data).resolve().name}"
        images = None if recipe.data in DATA else Path(recipe.data)
        fit(recipe, folder, images, device, lower, tensorboard)

    *own, _ = inspect.signature(command).parameters.values()
    options = [_option(word, model) for word in WORDS.values() if word.name != "model"]
    named = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
    command.__signature__ = inspect.Signature([*options, *named])  # type: ignore[attr-defined]
    return command


def resume(
    folder: RunFolder,
    epochs: Annotated[
        int | None, typer.Option(help="Train until this many epochs in total.")
    ] = None,
    data: Images = None,
    device: RunDevice = "auto",
    lower: Lower = "auto",
    tensorboard: TensorBoard = False,
) -> None:
    """Go on with a run that was stopped, or train a finished run for more epochs.

    Example: `probgen resume runs/x --epochs 40`
    """
    from dataclasses import replace

    from probgen.run.folder import Folder

    recipe = read(folder)
    if epochs in (None, recipe.epochs) and "results" in Folder(folder).facts():
        print(f"{folder} is finished: probgen resume {folder} --epochs N trains it for more")
    recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
    fit(recipe, folder, data, device, lower, tensorboard, resume=True)


def fit(
    recipe: Recipe,
    folder: Path,
    images: Path | None,
    device: str,
    lower: "How",
    tensorboard: bool,
    resume: bool = False,
) -> None:
    """Train, score on the test set, and write the run's pictures and page."""
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
    show_scores(folder, scores)
    try:
        samples = report.pictures.samples(done.pair, 64)
        print(f"samples: {report.save_grid(folder / 'samples.png', samples)}")
    except models.ModelError as missing:
        print(f"no samples: {missing}")
    if isinstance(done.pair, Codec):
        print(f"reconstructions: {_save_reconstructions(folder, done.pair, done.test)}")
    print(f"report: {report.save(folder, done.history, done.pair, done.test, scores)}")


def _option(word: Word, model: Model) -> inspect.Parameter:
    """The option of a word; hidden where the model does not take it, to say whose it is."""
    choices = choices_of(word, model)
    option = typer.Option(
        word.default,
        word.option,
        help=_help(word, model, choices),
        rich_help_panel=word.panel,
        hidden=word not in taken_by(model),
        metavar="<word>" if choices else None,
    )
    kind = word.kind | None if word.optional else word.kind
    where = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(word.name, where, default=option, annotation=kind)


def _help(word: Word, model: Model, choices: list[str]) -> str:
    """What a word does, beside what it does so, and its choices."""
    parts = [word.help]
    if choices:
        parts.append(f"One of {', '.join(choices)}.")
    if place := beside(word.owners, model):
        parts.append(f"Only with {place}.")
    return " ".join(parts)


def _save_reconstructions(folder: Path, pair: "Codec", test: "Set") -> Path:
    from probgen import report

    shown = report.pictures.items(pair, test, 16)
    pairs = report.interleave(shown.x, report.pictures.reconstruction(pair, shown))
    return report.save_grid(folder / "reconstructions.png", pairs, columns=8)
