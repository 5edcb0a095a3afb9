"""The report: whole, self-contained, and nothing in it but what was measured."""

import html.parser
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from matplotlib.colors import to_hex

from probgen import checkpoint, cli, data, models, nets, objectives, recipe, report, training
from probgen.evaluation import Score, likelihood
from probgen.report import exploration, figures, page, pictures
from probgen.run.history import History, HistoryError

HOSTILE = (
    "<script>alert(1)</script>",
    "A[/b]",
    "cost $a_$",
    "_under",
    "{{ 7 * 7 }}",
    "\udc80x",
    "漢",
)


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


@pytest.fixture
def runs(tmp_path):
    """Two runs by recipe, one of them with a name that is nobody's friend."""
    words = recipe.DEFAULTS | {"limit": 200, "hidden": 8, "latent": 4, "epochs": 2}
    folders = [tmp_path / "plain", tmp_path / "<i>b <script> A[b] cost $a_$"]
    for beta, folder in enumerate(folders, 1):
        recipe.train(words | {"objective": "beta", "beta": float(beta)}, folder)
    return folders


def test_a_report_has_every_part_and_its_files(tmp_path):
    part = labelled(y=[i % 3 for i in range(40)], classes=HOSTILE[:3])
    vae, history = fitted(part, checkpoint=tmp_path)
    path = report.save(tmp_path, history, vae, part)
    found = read(path)
    curves = ("Total", "Reconstruction:", "KL(q", "β", "KL per dimension")
    pictures = ("Samples", "Latent traversal", "Interpolation", "Codes by class")
    for words in (*curves, *pictures, "Recipe", "ELBO"):
        assert words in found.text
    numbers = checkpoint.read_json(tmp_path / "report.json")
    assert len(numbers["history"]) == len(history.records)
    assert len(numbers["kl_per_dimension"]["z"]) == 3
    drawn = [tag for tag, _ in found.tags].count("img")
    assert len(list((tmp_path / "report").glob("*.svg"))) == drawn >= 10


def test_a_page_needs_no_network_and_runs_no_script(tmp_path):
    part = labelled()
    vae, history = fitted(part)
    found = read(report.save(tmp_path, history, vae, part))
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in found.tags}
    sources = [attrs["src"] for _, attrs in found.tags if "src" in attrs]
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    policies = [attrs.get("content", "") for tag, attrs in found.tags if tag == "meta"]
    assert any("default-src 'none'" in policy for policy in policies)
    links = [attrs["href"] for tag, attrs in found.tags if tag == "a"]
    assert all(link.startswith("#part-") for link in links)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_in_html_and_figures(tmp_path, name):
    part = labelled(y=[0, 1] * 20, classes=(name, "other"))
    vae, history = fitted(part)
    run = report.Run(name, history, vae, part, _scores(vae, part), {})
    found = read(report.compare(tmp_path, [run, run._replace(name="other")]))
    assert name.encode(errors="replace").decode() in found.text
    assert "script" not in {tag for tag, _ in found.tags}
    read(report.save_data(tmp_path / "data", {name: part}))


def _scores(vae, part):
    from probgen.evaluation import likelihood

    return likelihood.scores(vae, part)


def test_dollars_are_not_mathematics():
    tensor = torch.zeros(1, 1, 8, 8)
    svg = figures.to_svg(figures.images({"cost $a_$": tensor, "_": tensor}))
    assert figures.to_svg(figures.images({"cost $a_$": tensor, "_": tensor})) == svg
    assert b"prefers-color-scheme" in svg
    assert figures.INK.encode() not in svg.replace(figures.ADAPTIVE.encode(), b"")


def test_every_run_is_in_the_legend_whatever_its_name():
    histories = {name: History([{"step": 1, "kl": 1, "validation_kl": 2}]) for name in ("_a", "b")}
    legend = figures.curves(histories, "kl").axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["_a", "b"]


PARTS = {
    "tables": (labelled(shape=(5,)), "no grey or RGB images"),
    "no labels": (labelled(), "no labels or factors"),
    "factors": (
        labelled(factors=[[i % 2, i % 20] for i in range(40)], factor_names=("size", "turn<b>")),
        "Codes by turn<b>",
    ),  # fmt: skip
    "two channels": (labelled(shape=(2, 8, 8)), "no grey or RGB images"),
    "one item": (labelled(n=1), "Codes"),
}


@pytest.mark.parametrize("kind", PARTS)
def test_a_page_says_what_it_cannot_show(tmp_path, kind):
    part, words = PARTS[kind]
    vae, history = fitted(labelled(shape=part.shape))
    assert words in read(report.save(tmp_path, history, vae, part)).text
    report.save_data(tmp_path / "data", {"train": part})


@pytest.mark.parametrize("known", [{}, {"y": [0, 1] * 20}])
def test_one_latent_dimension_is_a_histogram(tmp_path, known):
    part = labelled(**known)
    vae, history = fitted(part, latent=1)
    found = read(report.save(tmp_path, history, vae, part))
    assert "a histogram in place of principal components" in found.text


@pytest.mark.parametrize("count", [2, 10, 11, 24])
def test_no_two_runs_share_a_colour(count):
    histories = {f"run {i}": History([{"step": 1.0, "loss": float(i)}]) for i in range(count)}
    figure = figures.curves(histories, "loss")
    assert len({to_hex(line.get_color()) for line in figure.axes[0].lines}) == count
    points = {name: [(1.0, 2.0)] for name in histories}
    assert figures.rate_distortion({"a": (1.0, 2.0), "b": (2.0, 1.0)}, points)


def test_many_runs_have_their_legend_below_the_curves():
    histories = {f"run {i}": History([{"step": 1, "kl": 1}]) for i in range(10)}
    figure = figures.curves(histories, "kl")
    figures.to_svg(figure)
    legend, axes = figure.legends[0], figure.axes[0]
    assert [text.get_text() for text in legend.get_texts()] == list(histories)
    assert legend.get_window_extent().y1 <= axes.get_window_extent().y0


def test_long_names_that_differ_at_their_end_are_told_apart():
    names = [f"fashion_mnist_convolutional_latent_64_beta_{beta}" for beta in (1, 4)]
    histories = {name: History([{"step": 1, "kl": 1}]) for name in names}
    legend = figures.curves(histories, "kl").axes[0].get_legend()
    shown = [text.get_text() for text in legend.get_texts()]
    assert shown[0] != shown[1]
    assert max(map(len, shown)) <= figures.LONGEST


@pytest.mark.parametrize("shape", [(3, 2, 100), (1, 100, 2), (1, 1, 1)])
def test_images_of_any_shape_make_a_page(tmp_path, shape):
    part = labelled(shape=shape, y=[i % 3 for i in range(40)])
    vae, history = fitted(part)
    assert "Latent traversal" in read(report.save(tmp_path, history, vae, part)).text
    report.save_data(tmp_path / "data", {"train": part})


@pytest.mark.parametrize("pair_dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
def test_data_and_pair_may_be_of_any_precision(tmp_path, pair_dtype, dtype):
    x = torch.arange(256).reshape(4, 1, 8, 8)
    x = x.to(dtype) if dtype == torch.uint8 else x.to(dtype) / 255
    part = data.arrays(x.repeat(10, 1, 1, 1))
    vae, history = fitted(part)
    vae.to(pair_dtype)
    found = report.save(tmp_path, history, vae, part)
    assert "Interpolation" in read(found).text


def test_no_run_is_lost_whatever_the_names(tmp_path):
    part = labelled()
    vae, history = fitted(part)
    run = report.Run("a", history, vae, part, _scores(vae, part), {})
    names = ["a", "a (2)", "a", "original"]
    report.compare(tmp_path, [run._replace(name=name) for name in names])
    numbers = checkpoint.read_json(tmp_path / "report.json")
    assert list(numbers) == ["a", "a (2)", "a (3)", "original"]
    ours = f"{run.scores.values['ELBO']['mean']:.2f} ±"
    assert read(tmp_path / "report.html").text.count(ours) == len(names)


def test_a_bare_pair_and_an_empty_history_make_a_page(tmp_path):
    part = labelled()
    vae, _ = fitted(part)

    class Bare(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.vae, self.model, self.guide = vae, vae.model, vae.guide

    found = read(report.save(tmp_path, History(), Bare(), part))
    assert "The history holds no records." in found.text
    assert "the pair lacks encode or decode" in found.text
    with pytest.raises(report.ReportError, match="at least one run"):
        report.compare(tmp_path, [])


def test_traversals_are_ordered_by_kl_and_centred_on_the_code():
    part = labelled()
    vae, _ = fitted(part)
    first = pictures.items(vae, part, 1)
    rows = pictures.traversal(vae, first, torch.tensor([0.1, 0.3, 0.2]), rows=2, steps=3)
    assert list(rows) == ["z2, 0.30 nats", "z3, 0.20 nats"]
    code = vae.encode(first.x).mean.detach().clone()
    code[0, 1] = -3
    assert torch.allclose(rows["z2, 0.30 nats"][0], vae.decode(code).mean[0])


def test_interpolation_begins_and_ends_at_reconstructions():
    part = labelled()
    vae, _ = fitted(part)
    few = pictures.items(vae, part, 4)
    lines = pictures.interpolation(vae, few, steps=5)
    assert torch.allclose(lines[:, 0], vae.reconstruct(few.x[:2]), atol=1e-6)
    assert torch.allclose(lines[:, -1], vae.reconstruct(few.x[2:]), atol=1e-6)


def test_a_history_survives_its_table():
    records = [{"step": 1.0, "loss": -0.1, "kl": 1e-9}, {"step": 2.0, "beta": 3.0}]
    assert History.from_csv(History(records).to_csv()).records == records
    for text in ("step,loss\n1,inf\n", "step\nx\n", "loss\n1\n", "step\n1,2\n"):
        with pytest.raises(HistoryError):
            History.from_csv(text)


def test_the_command_reports_one_run_and_compares_two(probgen, runs, tmp_path):
    status, out, err = probgen("report", runs[0])
    assert (status, (runs[0] / "report.html").exists()) == (0, True), err
    status, out, err = probgen("report", *runs, "--out", tmp_path / "both")
    assert (status, "both" in out) == (0, True), err
    found = read(tmp_path / "both" / "report.html")
    assert runs[1].name in found.text
    assert "script" not in {tag for tag, _ in found.tags}
    assert set(checkpoint.read_json(tmp_path / "both" / "report.json")) == {r.name for r in runs}


def test_two_protocols_never_share_a_table(runs):
    loaded = [report.load(folder) for folder in runs]
    protocol = loaded[1].scores.protocol | {"particles": 9}
    loaded[1] = loaded[1]._replace(scores=loaded[1].scores._replace(protocol=protocol))
    path = report.compare(runs[0].parent / "two", loaded)
    assert path.read_text().count("Protocol:") == 2


class Scored(NamedTuple):
    name: str
    metrics: list


def test_a_score_that_one_of_two_runs_has_names_its_run():
    scored, other = Scored("scored", [Score("FID", 3.0, (9, 9))]), Scored("other", [])
    assert [table.header[1] for table in report.metric_tables([scored, other])] == ["scored"]
    assert [table.header[1] for table in report.metric_tables([scored])] == ["value"]


def test_scores_got_alike_stand_in_one_row_and_those_of_other_data_in_another_table():
    fid, kid = Score("FID", 3.0, (9, 9), data="here"), Score("KID", 1.0, (9, 9), data="here")
    few, other = replace(fid, n=(5, 5), value=4.0), replace(fid, data="there", value=5.0)
    runs = [
        Scored("a", [fid, kid]), Scored("b", [fid]), Scored("c", [few]), Scored("d", [other])
    ]  # fmt: skip
    here, there = report.metric_tables(runs)
    assert list(here.header) == ["score", "a", "b", "c", "n", "variant"]
    assert [row[1:5] for row in here.rows] == [
        ["3", "3", "–", "9, 9"], ["1", "–", "–", "9, 9"], ["–", "–", "4", "5, 5"]
    ]  # fmt: skip
    assert (there.header[1], there.rows[0][1]) == ("d", "5")


def test_a_word_that_an_older_recipe_lacks_is_no_difference(runs, tmp_path):
    first, second = (report.load(folder) for folder in runs)
    older = {name: value for name, value in first.facts["recipe"].items() if name != "binarize"}
    first = first._replace(facts=first.facts | {"recipe": older})
    found = read(report.compare(tmp_path / "both", [first, second]))
    assert "binarize no" in found.text.partition("The same in all:")[2]


def test_runs_on_other_items_share_no_table_and_no_pictures(tmp_path):
    """Two draws of one set have its name and their size in common; binarised it has all."""
    runs = []
    for words in ({"seed": 0}, {"seed": 1}, {"seed": 0, "binarize": True}):
        small = {"limit": 100, "hidden": 8, "latent": 2, "batch_size": 50, "epochs": 1}
        path = tmp_path / f"run {len(runs)}"
        recipe.train(recipe.DEFAULTS | small | words, path)
        runs.append(report.load(path))
    assert runs[0].scores.protocol == runs[1].scores.protocol  # the seed draws no test set
    other = data.digits()[1].take(slice(100))
    scores = likelihood.scores(runs[1].pair, other)
    runs[1] = runs[1]._replace(data=other, scores=scores)
    found = read(report.compare(tmp_path / "all", runs))
    assert found.text.count("Protocol: data digits") == 3
    assert "there are no common test images" in found.text


def test_a_full_disk_leaves_the_old_page_and_no_half_one(probgen, runs, monkeypatch):
    report.save_scores(runs[0], report.load(runs[0]).scores)
    assert probgen("report", runs[0])[0] == 0
    before = {path: path.read_bytes() for path in runs[0].rglob("*") if path.is_file()}
    (runs[0] / "report.html").write_text("old")
    before[runs[0] / "report.html"] = b"old"
    write = checkpoint._write

    def full(path, content):
        if "report.html" in path.name:
            path.write_bytes(content[:100])
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(checkpoint, "_write", full)
    status, _, err = probgen("report", runs[0])
    assert (status, err.count("\n")) == (2, 1), err
    assert "No space left" in err
    assert {path: path.read_bytes() for path in runs[0].rglob("*") if path.is_file()} == before


def test_half_written_and_foreign_folders_are_one_line(probgen, runs, tmp_path):
    facts = json.loads((runs[0] / "run.json").read_text())
    unfinished = {name: value for name, value in facts.items() if name != "weights_sha256"}
    cases = (("is not finished: probgen resume", unfinished), ("expected format 1", {"format": 7}))
    for words, content in cases:
        (runs[0] / "run.json").write_text(json.dumps(content))
        status, _, err = probgen("report", *runs)
        assert (status, err.count("\n")) == (2, 1), err
        assert words in err
    (runs[0] / "run.json").write_text(json.dumps(facts))
    for content in (None, b"\xff", b"step,loss\n1,nan\n"):
        (runs[0] / "history.csv").unlink(missing_ok=True)
        if content is not None:
            (runs[0] / "history.csv").write_bytes(content)
        status, _, err = probgen("report", runs[0])
        assert (status, err.count("\n")) == (2, 1), err
    assert probgen("report", tmp_path / "nowhere")[0] == 2


def test_evaluate_reproduces_a_studys_scores(probgen, tmp_path):
    from probgen import study

    words = recipe.DEFAULTS | {"limit": 200, "hidden": 8, "epochs": 1, "binarize": True}
    [run] = study.train({"a run": words}, tmp_path)
    scores = (tmp_path / "a run" / "scores.json").read_bytes()
    assert checkpoint.read_json(tmp_path / "a run" / "scores.json")["scores"] == run.scores.values
    (tmp_path / "a run" / "scores.json").unlink()
    assert probgen("evaluate", tmp_path / "a run")[0] == 0
    assert (tmp_path / "a run" / "scores.json").read_bytes() == scores


def test_data_show_counts_and_pictures(probgen, tmp_path):
    status, out, err = probgen("data", "show", "digits", "--out", tmp_path)
    assert status == 0, err
    found = read(tmp_path / "report.html")
    train, _ = data.digits()
    zeros = int((train.x == 0).sum()) / train.x.numel()
    assert f"{zeros:.1%} of {train.x.numel():,} values are zero" in found.text
    assert f"{int((train.y == 3).sum())} items" in found.text
    assert (tmp_path / "report" / "means.svg").exists()


def test_sheets_and_levels_are_those_of_the_whole_set(monkeypatch):
    """A sorted set shows only its first factor class, or one level, at its start."""
    x = torch.arange(100, dtype=torch.uint8)[:, None, None, None].expand(100, 1, 8, 8)
    shown = []
    monkeypatch.setattr(exploration.figures, "images", lambda rows: shown.append(rows))
    exploration._classes(data.arrays(x, [0] * 100))
    tiles = torch.cat(list(shown[0].values()))[:, 0, 0, 0] * 255
    assert tiles.round()[:32].tolist() == torch.linspace(0, 99, 32).round().tolist()
    part = data.arrays(torch.cat([torch.zeros(6_000, 1), torch.arange(6_000.0)[:, None] % 7]))
    counts = exploration._values(part)[0].figure.axes[0].patches[0].get_data().values
    assert counts.tolist() == [6_858, *[857] * 6]


def test_many_classes_are_counted_and_some_shown(tmp_path):
    part = labelled(y=[*range(30), *[60_000] * 10])
    found = read(report.save_data(tmp_path, {"train": part}))
    assert "20 of 31 classes" in found.text
    assert (tmp_path / "report.html").stat().st_size < 2_000_000
    with pytest.raises(report.ReportError, match="at least one set"):
        report.save_data(tmp_path, {})


def test_a_terminal_that_cannot_show_a_path_ends_no_command(monkeypatch, tmp_path):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(
        sys, "argv", ["probgen", "data", "show", "digits", "--out", f"{tmp_path}/ü"]
    )
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    out.flush()
    assert out.detach().getvalue().endswith(b"?/report.html\n")
    assert (tmp_path / "ü" / "report.html").exists()


def test_a_page_of_one_run_goes_to_its_folder(probgen, runs, tmp_path):
    status, _, err = probgen("report", runs[0], "--out", tmp_path / "elsewhere")
    assert (status, err.count("\n")) == (2, 1)
    assert "several runs" in err


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--hide-scrollbars")  # fmt: skip


def chromium(folder, *words):
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [380, 1280])
def test_a_browser_shows_every_figure_and_nothing_overflows(runs, tmp_path, width):
    """Measured from outside by a page that frames the report; the report itself runs nothing."""
    path = report.compare(tmp_path / "page", [report.load(folder) for folder in runs])
    framed = path.read_text().replace("&", "&amp;").replace('"', "&quot;")
    outer = tmp_path / "outer.html"
    outer.write_text(
        f'<iframe width="{width}" height="900" srcdoc="{framed}"></iframe><pre></pre><script>'
        "onload = () => { const inner = document.querySelector('iframe').contentDocument;"
        "const whole = [...inner.images].every(i => i.complete && i.naturalWidth > 0);"
        "document.querySelector('pre').textContent ="
        "`images ${inner.images.length} ${whole} width ${inner.documentElement.scrollWidth}` }"
        "</script>"
    )
    dom = chromium(tmp_path, "--dump-dom", "--window-size=1400,1000", outer.as_uri())
    count, whole, wide = re.search(r"<pre>images (\d+) (\w+) width (\d+)", dom).groups()
    assert int(count) >= 8
    assert whole == "true"
    assert int(wide) <= width


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_screenshot_is_light_or_dark_as_the_reader_prefers(tmp_path):
    from PIL import Image

    part = labelled()
    vae, history = fitted(part)
    path = report.save(tmp_path, history, vae, part)
    corners = []
    for scheme in (1, 0):
        shot = tmp_path / f"{scheme}.png"
        chromium(tmp_path, f"--screenshot={shot}", "--window-size=1280,900",
                 f"--blink-settings=preferredColorScheme={scheme}", path.as_uri())  # fmt: skip
        corners.append(Image.open(shot).convert("L").getpixel((2, 2)))
    assert corners[0] > 200 > 60 > corners[1]


def test_pages_escape_every_field(tmp_path):
    evil = "<script>"
    card, table = page.Card(evil, note=evil), page.Table([evil], [[evil]], evil)
    facts = page.Facts({evil: evil}, evil)
    section = page.Section(evil, [table], [facts], [card], evil)
    found = read(page.write(tmp_path / "p.html", page.Page(evil, evil, [section])))
    assert "script" not in {tag for tag, _ in found.tags}
    assert found.text.count(evil) == 14


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    """A GAN and a diffusion model, which have no codes."""
    folder = tmp_path_factory.mktemp("generators")
    small = {"limit": 100, "hidden": 8, "latent": 2, "batch_size": 50, "epochs": 4}
    diffusion = {"model": "diffusion", "objective": "simple", "noise_steps": 50, "latent": 16}
    made = {"game": {"model": "gan"}, "noisy": diffusion}
    for name, words in made.items():
        recipe.train(recipe.DEFAULTS | small | words, folder / name)
    return [report.load(folder / name) for name in made]


def test_what_samples_without_codes_is_shown_with_how_they_come_about(generators, tmp_path):
    pages = [
        report.save(tmp_path / run.name, run.history, run.pair, run.data) for run in generators
    ]
    game, noisy = (read(page).text for page in pages)
    assert "No pictures" not in game + noisy
    assert "Latent space" not in game + noisy
    assert "From noise to data" in noisy
    both = read(report.compare(tmp_path / "both", generators)).text
    assert "Samples while training" in both
    assert "From noise to data: noisy" in both
    assert both.count("Protocol:") == 1  # of the one that has a density
    game_alone = read(report.compare(tmp_path / "game alone", generators[:1])).text
    assert "No density to score" in game_alone


def test_the_recipe_of_a_page_has_the_words_that_count(generators, tmp_path):
    both = read(report.compare(tmp_path, generators)).text
    recipes = both.rpartition("Recipes")[2].partition("Training")[0]
    assert "loss" in recipes
    assert "predicts" in recipes
    assert not any(word in recipes for word in ("likelihood", "beta", "codes", "sigma"))


def test_grids_are_found_once_and_broken_ones_left_out(tmp_path):
    (tmp_path / "grids").mkdir()
    assert report.quarters(tmp_path) == {}
    (tmp_path / "grids" / "step-000001.png").write_bytes(b"no picture")
    for step in (10, 2000):
        path = tmp_path / "grids" / f"step-{step:06d}.png"
        report.save_grid(path, torch.rand(64, 1, 8, 16))
    found = report.quarters(tmp_path)
    assert list(found) == ["10", "2,000"]
    assert [*found["10"].shape] == [3, 4 * (32 + 2) + 2, 4 * (64 + 2) + 2]


def test_a_recipe_of_words_of_ones_own_is_shown_as_it_is(tmp_path):
    part = labelled()
    vae, history = fitted(part)
    (tmp_path / "run.json").write_bytes(
        checkpoint.to_json({"format": 1, "recipe": {"note": "mine"}})
    )
    assert "mine" in read(report.save(tmp_path, history, vae, part)).text


def test_a_way_from_noise_ends_in_a_sample(generators):
    ways = pictures.denoising(generators[1].pair, n=3, stages=5)
    assert ways.shape == (3, 5, 1, 8, 8)
    assert torch.equal(ways[:, -1], pictures.samples(generators[1].pair, 3).clamp(0, 1))
