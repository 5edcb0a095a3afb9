"""Options and arguments that several commands have; those of train are ``recipe.words``."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from probgen.recipe.choices import DATA

RunFolder = Annotated[Path, typer.Argument(help="Folder of the run, as given to train --out.")]
RunFolders = Annotated[list[Path], typer.Argument(help="Folders of runs.")]
DataName = Annotated[
    str, typer.Argument(help=f"Name of a data set ({', '.join(DATA)}), or a folder of images.")
]
Images = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Folder with the images, where the run was trained on a folder of images."
    ),
]
Side = Annotated[
    int | None, typer.Option(help="Resize a folder's images to this many pixels per side.")
]


def run_option(text: str, *names: str, **more: Any) -> Any:
    """Return an option that says how to run a training, not what to train."""
    return typer.Option(*names, help=text, rich_help_panel="Run", **more)


DEVICE = "Device to compute on: cpu, cuda, cuda:1 ..., or auto for CUDA where there is any."
Device = Annotated[str, typer.Option(help=DEVICE)]
RunDevice = Annotated[str, run_option(DEVICE)]
Lower = Annotated[
    Literal["auto", "graph", "inductor", "eager"],
    run_option(
        "How to run the steps: eager, or recorded once and replayed (graph), or compiled as well "
        "(inductor), or whichever of them suits the length of the run (auto).",
        metavar="<word>",
    ),
]
TensorBoard = Annotated[
    bool, run_option("Write TensorBoard events into the folder as well.", "--tensorboard")
]
