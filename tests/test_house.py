"""The rooms of the package: who may import whom, and what an import may load."""

import house
import pytest

FILES = house.files()
ROOMS = house.rooms(FILES)
REACH = {
    "data": {"probgen": {*house.ORDER} - {"data"}, "outside": {"pyro"}},
    "nets": {"probgen": {*house.ORDER} - {"nets"}, "outside": {"pyro"}},
    "objectives": {"probgen": {"data", "models", "training", "evaluation"}, "outside": set()},
    "models": {"probgen": {"objectives", "training", "evaluation", "lowering"}, "outside": set()},
    "run": {"probgen": {"models", "objectives", "data"}, "outside": {"pyro"}},
    "lowering": {"probgen": {"data", "models", "evaluation", "training"}, "outside": set()},
    "evaluation": {"probgen": {"training", "report", "recipe", "cli"}, "outside": set()},
    "training": {"probgen": {"recipe", "report", "cli"}, "outside": set()},
    "reasoning": {"probgen": {*house.ORDER} - {"reasoning"}, "outside": {"torch", "pyro"}},
    "exact": {
        "probgen": {*house.ORDER} - {"reasoning", "exact"},
        "outside": {"pyro", "matplotlib"},
    },
}
"""What no import from a room may lead to, directly or through others."""


def test_there_are_fourteen_rooms_and_nothing_loose():
    assert {*ROOMS} == {*house.ORDER}
    assert len(house.ORDER) == 14
    assert house.loose() == []


def test_no_files_import_each_other_in_a_circle():
    assert house.circles(FILES) == []


def test_a_room_imports_only_rooms_before_it():
    place = {name: i for i, name in enumerate(house.ORDER)}
    wrong = [(start, end) for start, end in ROOMS.edges if place[end] > place[start]]
    assert wrong == []


@pytest.mark.parametrize("room", REACH)
def test_what_a_room_must_not_load_is_out_of_its_reach(room):
    known = house.modules()
    for module in known:
        if house.room(module) != room:
            continue
        reached = house.reached(module, FILES)
        assert not {house.room(other) for other in reached} & REACH[room]["probgen"], module
        packages = set().union(*(house.outside(known[other]) for other in reached))
        assert not packages & REACH[room]["outside"], module


def test_no_file_borrows_what_is_private_to_another():
    assert house.borrowed() == []


def test_every_public_name_is_documented():
    bare, total = house.undocumented()
    assert bare == []
    assert total > 900


def test_the_counts_are_printed():
    counts = house.counts()
    assert counts["rooms"] == 14
    assert counts["circles of files"] == counts["circles of rooms"] == []


def test_only_features_of_the_evaluators_touch_files():
    touching = {"pathlib", "io", "os", "urllib"}
    for module, path in house.modules().items():
        if house.room(module) == "evaluation" and path.parent.name != "features":
            assert not house.outside(path) & touching, module
            assert "probgen.run.checkpoint" not in house.imported(path, house.modules()), module


def test_the_tree_in_the_documents_is_that_of_the_files():
    shown = house.documented((house.ROOT / "docs" / "index.md").read_text("utf-8"))[1]
    assert shown == house.tree(), "write it anew: python tests/house.py --tree"


THEMES = {
    "bad_settings",
    "disentanglement",
    "objectives_table",
    "priors",
    "signatures",
    "soft_evidence",
}
"""Test files of a whole room, or of something that several of its modules do together."""


def test_the_tests_mirror_the_package():
    tests = house.ROOT / "tests"
    for path in tests.rglob("test_*.py"):
        folder, theme = path.parent.relative_to(tests), path.stem.removeprefix("test_")
        if folder.name and theme not in THEMES:
            assert (house.ROOT / "probgen" / folder / f"{theme}.py").is_file(), path
