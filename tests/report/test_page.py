"""The report: whole, self-contained, and nothing in it but what was measured."""

import re
import shutil
import subprocess

import pytest
import torch
from pages import fitted, labelled, read, scores

from probgen import checkpoint, data, recipe, report
from probgen.evaluation import likelihood
from probgen.report import page
from probgen.run.history import History

HOSTILE = (
    "<script>alert(1)</script>",
    "A[/b]",
    "cost $a_$",
    "_under",
    "{{ 7 * 7 }}",
    "\udc80x",
    "漢",
)


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
    run = report.Run(name, history, vae, part, scores(vae, part), {})
    found = read(report.compare(tmp_path, [run, run._replace(name="other")]))
    assert name.encode(errors="replace").decode() in found.text
    assert "script" not in {tag for tag, _ in found.tags}
    read(report.save_data(tmp_path / "data", {name: part}))


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


def test_the_command_reports_one_run_and_compares_two(probgen, runs, tmp_path):
    status, out, err = probgen("report", runs[0])
    assert (status, (runs[0] / "report.html").exists()) == (0, True), err
    status, out, err = probgen("report", *runs, "--out", tmp_path / "both")
    assert (status, "both" in out) == (0, True), err
    found = read(tmp_path / "both" / "report.html")
    assert runs[1].name in found.text
    assert "script" not in {tag for tag, _ in found.tags}
    assert set(checkpoint.read_json(tmp_path / "both" / "report.json")) == {r.name for r in runs}


def test_runs_on_other_items_share_no_table_and_no_pictures(tmp_path):
    """Two draws of one set have its name and their size in common; binarised it has all."""
    runs = []
    for words in ({"seed": 0}, {"seed": 1}, {"seed": 0, "binarize": True}):
        small = {"limit": 100, "hidden": 8, "latent": 2, "batch_size": 50, "epochs": 1}
        path = tmp_path / f"run {len(runs)}"
        recipe.train(recipe.Recipe(**small, **words), path)
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


def test_a_recipe_of_words_of_ones_own_is_shown_as_it_is(tmp_path):
    part = labelled()
    vae, history = fitted(part)
    (tmp_path / "run.json").write_bytes(
        checkpoint.to_json({"format": 1, "recipe": {"note": "mine"}})
    )
    assert "mine" in read(report.save(tmp_path, history, vae, part)).text
