"""Experiment files: what they give, and what they say when something is wrong in them."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from rv_core import ConfigError, Kernel, NotFoundError, UnknownKeyError
from rv_pipeline import (
    CellOptions,
    ChipClassificationConfig,
    ChipOptions,
    DatasetConfig,
    Experiment,
    RasterConfig,
    SceneConfig,
    StatsTransformerConfig,
    load_experiments,
)

YAML = """\
args: {data: data, size: 16}
id: roofs
root_uri: out
task:
  key: CHIP_CLASSIFICATION
  classes: {roof: "#ff0000", ground: null}
  cells: {size: "${size}", background_class: ground, infer_cells: true}
backend: {key: TOY_CLASSIFICATION, model_defaults: TOY_QUICK}
dataset:
  train:
    - id: north
      raster: {uris: "${data}/north.tif", transformers: [{type: stats_uint8, num_stds: 2}]}
      labels: "${data}/north.geojson"
  validation:
    - {id: south, raster: "${data}/south.tif", labels: {uris: a.geojson, class_mapping: {1: roof}}}
chip: {stride: 8}
"""

PYTHON = """\
from rv_pipeline import *

def exp_roofs(data: str = "data", size: int = 16):
    return Experiment(
        id="roofs", root_uri="out",
        task=ChipClassificationConfig(
            classes={"roof": "#ff0000", "ground": None},
            cells=CellOptions(size=size, background_class="ground", infer_cells=True),
        ),
        backend={"backend": "TOY_CLASSIFICATION", "model_defaults": "TOY_QUICK"},
        dataset=DatasetConfig(
            train=SceneConfig(
                id="north",
                raster=RasterConfig(
                    uris=f"{data}/north.tif", transformers=[StatsTransformerConfig(num_stds=2)]
                ),
                labels=f"{data}/north.geojson",
            ),
            validation=SceneConfig(
                id="south", raster=f"{data}/south.tif",
                labels=LabelConfig(uris="a.geojson", class_mapping={1: "roof"}),
            ),
        ),
        chip=ChipOptions(stride=8),
    )
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def refusal(path: Path, **arguments: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_experiments(path, arguments)
    return caught.value


def test_python_and_yaml_give_the_same_experiment(tmp_path: Path) -> None:
    (from_yaml,) = load_experiments(write(tmp_path, "e.yaml", YAML), {"data": "there"})
    (from_python,) = load_experiments(write(tmp_path, "e.py", PYTHON), {"data": "there"})
    assert from_yaml == from_python
    assert from_yaml.dataset.train[0] == SceneConfig(
        id="north",
        raster=RasterConfig(
            uris=("there/north.tif",), transformers=(StatsTransformerConfig(num_stds=2),)
        ),
        labels="there/north.geojson",
    )
    assert from_yaml.task.cells == CellOptions(size=16, background_class="ground", infer_cells=True)


def test_relative_uris_are_taken_from_where_the_run_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere", "e.yaml", YAML)
    monkeypatch.chdir(tmp_path)
    (experiment,) = load_experiments("elsewhere/e.yaml")
    assert experiment.dataset.train[0].raster.uris == ("data/north.tif",)
    assert experiment.output_uri("chip") == "out/chip/roofs"


def test_an_argument_becomes_the_type_that_its_place_asks_for(tmp_path: Path) -> None:
    (from_yaml,) = load_experiments(write(tmp_path, "e.yaml", YAML), {"size": "32"})
    assert from_yaml.task.cells.size == 32
    (from_python,) = load_experiments(write(tmp_path, "e.py", PYTHON), {"size": "32"})
    assert from_python.task.cells.size == 32
    error = refusal(write(tmp_path, "e.py", PYTHON), size="big")
    assert "-a size 'big'" in str(error)
    assert "a whole number" in str(error)


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        ("bool", "yes", True),
        ("bool", "false", False),
        ("float", "0.5", 0.5),
        ("list[int]", "1, 2", [1, 2]),
        ("int | None", "none", None),
        ("int | str", "x", "x"),
        ("Literal['a', 'b']", "b", "b"),
        ("Path", "a/b", Path("a/b")),
    ],
)
def test_arguments_are_converted_by_annotation(
    tmp_path: Path, annotation: str, text: str, value: object
) -> None:
    path = write(
        tmp_path,
        "e.py",
        f"""
        from pathlib import Path
        from typing import Literal
        def exp_x(v: {annotation}):
            raise ValueError(repr(v))
        """,
    )
    assert repr(value) in str(refusal(path, v=text))


def test_an_argument_nobody_takes_is_refused_with_a_close_match(tmp_path: Path) -> None:
    for name, text in (("e.py", PYTHON), ("e.yaml", YAML)):
        error = refusal(write(tmp_path, name, text), dta="x")
        assert "'dta'" in str(error)
        assert error.hint == "did you mean 'data'?"


def test_a_missing_argument_is_named(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, "e.py", "def exp_x(data): ..."))
    assert "needs the argument 'data'" in str(error)
    error = refusal(write(tmp_path, "e.yaml", YAML.replace("args: {data: data, size: 16}", "")))
    assert "${size} has no value" in str(error)


@pytest.mark.parametrize(
    ("before", "after", "line", "hint"),
    [
        ("infer_cells", "infr_cells", 7, "did you mean 'infer_cells'?"),
        ("root_uri:", "root_url:", 3, "did you mean 'root_uri'?"),
        ("num_stds", "num_std", 12, "did you mean 'num_stds'?"),
        ("stats_uint8", "stat_uint8", 12, "did you mean 'stats_uint8'?"),
        ("background_class: ground", "background_class: grond", 4, "did you mean 'ground'?"),
    ],
)
def test_a_typo_in_yaml_is_shown_with_its_line_and_a_close_match(
    tmp_path: Path, before: str, after: str, line: int, hint: str
) -> None:
    path = write(tmp_path, "e.yaml", YAML.replace(before, after))
    error = refusal(path)
    assert str(error).startswith(f"{path}:{line}: ")
    assert error.hint == hint


def test_a_wrong_value_in_yaml_is_shown_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "e.yaml", YAML.replace("stride: 8", "stride: many"))
    assert str(refusal(path)) == f"{path}:16: 'many' is not a whole number (in chip.stride)"
    path = write(tmp_path, "e.yaml", YAML.replace("id: roofs", "id: 7"))
    assert f"{path}:2: 7 is not text: put it in quotes" in str(refusal(path))


def test_a_missing_key_in_yaml_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "e.yaml", YAML.replace("root_uri: out\n", ""))
    assert "the key 'root_uri' is missing" in str(refusal(path))
    path = write(tmp_path, "e.yaml", YAML.replace("key: CHIP_CLASSIFICATION", "", 1))
    assert "the key 'key' is missing in task" in str(refusal(path))


def test_an_unknown_key_is_shown_with_its_whole_way(tmp_path: Path) -> None:
    path = write(tmp_path, "e.yaml", YAML.replace("stride: 8", "strid: 8"))
    assert str(refusal(path)) == f"{path}:16: unknown key 'strid' in chip"


def test_malformed_yaml_and_doubled_keys_are_shown_with_their_line(tmp_path: Path) -> None:
    path = write(tmp_path, "e.yaml", YAML.replace("chip: {stride: 8}", "chip: {stride: 8"))
    assert str(refusal(path)).startswith(f"{path}:17: not YAML")
    path = write(tmp_path, "e.yaml", YAML + "id: other\n")
    assert str(refusal(path)) == f"{path}:17: the key 'id' is there twice"


def test_what_a_backend_does_not_take_is_shown_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "e.yaml", YAML.replace("model_defaults: TOY_QUICK", "learning_rat: 1"))
    with pytest.raises(ConfigError) as caught:
        load_experiments(path, kernel=Kernel())
    assert str(caught.value).startswith(f"{path}:8: ")
    assert caught.value.hint == "did you mean 'learning_rate'?"
    path = write(tmp_path, "e.yaml", YAML.replace("TOY_CLASSIFICATION", "TOY_CLASIFICATION"))
    with pytest.raises(UnknownKeyError) as unknown:
        load_experiments(path, kernel=Kernel())
    assert "TOY_CLASSIFICATION" in str(unknown.value.hint)


@pytest.mark.parametrize(
    ("before", "after", "line", "hint"),
    [
        ("labels=Label", "labls=Label", 19, "did you mean 'labels'?"),
        ("ChipOptions", "ChipOption", 25, "did you mean 'ChipOptions'?"),
        ("def exp_roofs(", "import os; os.pth\ndef exp_roofs(", 3, "did you mean 'path'?"),
        ("size=size", "size=0", 8, None),
        ("return Experiment(", "return Experiment((", 5, "correct the line"),
    ],
)
def test_a_typo_in_python_is_shown_with_its_line_and_a_close_match(
    tmp_path: Path, before: str, after: str, line: int, hint: str | None
) -> None:
    path = write(tmp_path, "e.py", PYTHON.replace(before, after, 1))
    error = refusal(path)
    where, _, rest = str(error).partition(": ")
    assert where.startswith(f"{path}:")
    assert abs(int(where.rsplit(":", 1)[1]) - line) <= 1, rest
    assert error.hint == hint


def test_a_python_file_may_import_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, "my_labels_of_roofs.py", "NAME = 'data'")
    text = PYTHON.replace('data: str = "data"', "data: str = NAME")
    path = write(tmp_path, "e.py", "from my_labels_of_roofs import NAME\n" + text)
    assert load_experiments(path)[0].id == "roofs"


def test_several_experiments_come_from_functions_lists_and_yaml(tmp_path: Path) -> None:
    more = """
import attrs
def exp_more():
    return [attrs.evolve(exp_roofs(), id=f"e{n}") for n in range(2)]
"""
    found = load_experiments(write(tmp_path, "e.py", PYTHON + more))
    assert [e.id for e in found] == ["roofs", "e0", "e1"]
    one = textwrap.indent(YAML.split("\n", 1)[1].replace("${size}", "16"), "    ")
    text = (
        "args: {data: d}\nexperiments:\n  -\n" + one + "  -\n" + one.replace("id: roofs", "id: b")
    )
    assert [
        e.id for e in load_experiments(write(tmp_path, "s.yaml", text.replace('"16"', "16")))
    ] == [
        "roofs",
        "b",
    ]


def test_two_experiments_of_one_id_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "e.py", PYTHON + "\ndef exp_again():\n    return exp_roofs()\n")
    assert "several experiments with the id 'roofs'" in str(refusal(path))


def test_what_is_no_experiment_is_refused(tmp_path: Path) -> None:
    assert "returned NoneType" in str(refusal(write(tmp_path, "e.py", "def exp_x(): ...")))
    assert "no function named exp_" in str(refusal(write(tmp_path, "e.py", "x = 1")))
    assert "no experiment file" in str(refusal(write(tmp_path, "e.txt", "")))
    assert "holds no experiment" in str(refusal(write(tmp_path, "e.yaml", "- 1")))


def test_a_file_that_is_not_there_is_named_with_its_likeness(tmp_path: Path) -> None:
    write(tmp_path, "experiment.yaml", YAML)
    with pytest.raises(NotFoundError) as caught:
        load_experiments(tmp_path / "experment.yaml")
    assert str(caught.value.hint) == f"did you mean {tmp_path / 'experiment.yaml'}?"


def test_classes_and_keys_are_checked_where_they_are_written() -> None:
    with pytest.raises(ConfigError, match="unknown class 'grund'"):
        ChipClassificationConfig(
            classes=["roof"],
            cells=CellOptions(background_class="grund", infer_cells=True),
        )
    task = ChipClassificationConfig(classes=["roof"])
    with pytest.raises(ConfigError, match="names a folder"):
        Experiment(
            id="../up", root_uri="out", task=task, backend={"key": "X"}, dataset=DatasetConfig()
        )
    with pytest.raises(ConfigError, match="has no key"):
        Experiment(id="a", root_uri="out", task=task, backend={}, dataset=DatasetConfig())
    with pytest.raises(ConfigError, match="at least 1"):
        ChipOptions(stride=0)


def test_scenes_are_a_list() -> None:
    with pytest.raises(ConfigError, match=r"'x\.tif' stands where a list of scenes"):
        DatasetConfig(train="x.tif")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("transformers: [{type: stats_uint8, num_stds: 2}]", "transformers: cast"),
        ("transformers: [{type: stats_uint8, num_stds: 2}]", "channel_order: rgb"),
        ('{id: south, raster: "${data}/south.tif", labels: {', "south.tif  #"),
    ],
)
def test_what_is_no_list_is_shown_as_a_whole(tmp_path: Path, old: str, new: str) -> None:
    """Not letter by letter, nor as whatever Python says of it."""
    assert old in YAML
    file = write(tmp_path, "e.yaml", YAML.replace("    - {id", "    {id").replace(old, new))
    assert "stands where a list is needed" in refusal(file).message


def test_one_scene_needs_no_list(tmp_path: Path) -> None:
    (made,) = load_experiments(write(tmp_path, "e.yaml", YAML.replace("- {id", "{id")))
    assert [scene.id for scene in made.dataset.validation] == ["south"]


def test_a_backends_key_alone_is_shown_as_it_should_be() -> None:
    with pytest.raises(ConfigError) as caught:
        Experiment(
            id="a",
            root_uri="out",
            task=ChipClassificationConfig(classes=["roof"]),
            backend="KERAS_CLASSIFICATION",  # type: ignore[arg-type]
            dataset=DatasetConfig(),
        )
    assert caught.value.hint == "such as {key: KERAS_CLASSIFICATION}"


def test_a_folder_is_no_experiment_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        load_experiments(tmp_path)
