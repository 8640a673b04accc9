"""EVAL's report and CHIP's contact sheets, as files that people open."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import attrs
import pytest
from PIL import Image
from rv_pipeline.outputs import Output
from rv_pipeline.report.charts import charts, read_history, ticks
from rv_pipeline.report.page import ConfusionMatrix, Page, Section, grouped, render
from rv_pipeline.tasks.task import Table

from rv_core import Kernel
from rv_pipeline import DatasetConfig, Experiment, SceneConfig, run

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


class Elements(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attributes}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def evaluated(experiment: Callable[..., Experiment], kernel: Kernel) -> Callable[..., Elements]:
    """Run an experiment and give its report."""

    def make(**fields: object) -> Elements:
        made = experiment(**fields)
        run(made, ["analyze", "chip", "train", "predict", "eval"], kernel=kernel)
        return Elements(Path(made.output_uri("eval"), "report.html").read_text("utf-8"))

    return make


def test_the_report_is_one_file_with_figures_each_scene_and_chips_of_each_split(
    evaluated: Callable[..., Elements],
) -> None:
    page = evaluated()
    addresses = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "poster", "action")
    ]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert [a.get("aria-label") for a in page.all("table")] == [
        "Cells by class",
        "Confusion matrix",
    ]
    alts = [image["alt"] for image in page.all("img") if image.get("src")]
    assert "Image of scene south" in alts
    assert any("Mistakes" in alt for alt in alts)
    assert sum("labelled train chips" in alt for alt in alts) == 1
    assert sum("labelled validation chips" in alt for alt in alts) == 1
    assert "macro F1" in page.text
    for source in (image["src"] for image in page.all("img") if image.get("src")):
        head, data = source.split(",", 1)
        assert head == "data:image/webp;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert image.width >= 100


def test_several_scenes_are_compared_in_a_table(
    evaluated: Callable[..., Elements], scene: Callable[..., SceneConfig]
) -> None:
    validation = [scene("south", seed=2), scene("west", seed=3)]
    page = evaluated(dataset=DatasetConfig(train=scene("north", seed=1), validation=validation))
    assert "Figures by scene" in [table.get("aria-label") for table in page.all("table")]
    assert page.text.count("over 64 cells") == 4  # in the table and above each scene's pictures
    assert "over 128 cells" in page.text


def test_without_labelled_scenes_the_report_says_so_and_shows_no_zeros(
    evaluated: Callable[..., Elements], scene: Callable[..., SceneConfig]
) -> None:
    unlabelled = attrs.evolve(scene("south", seed=2), labels=None)
    page = evaluated(dataset=DatasetConfig(train=scene("north", seed=1), validation=unlabelled))
    assert "There are no labelled scenes." in page.text
    assert page.all("table") == []
    assert any("labelled train chips" in image["alt"] for image in page.all("img"))


def test_names_that_look_like_html_are_text(
    evaluated: Callable[..., Elements], scene: Callable[..., SceneConfig]
) -> None:
    from rv_pipeline import CellOptions, ChipClassificationConfig

    roof = 'roof <script>alert(1)</script> & "more"'
    task = ChipClassificationConfig(
        classes=[roof, "ground"],
        cells=CellOptions(size=16, background_class="ground", infer_cells=True),
    )
    train, other = scene("north", seed=1), scene("south", seed=2)
    mapping = {"roof": roof}
    train, other = (
        attrs.evolve(s, labels=attrs.evolve(s.labels, class_mapping=mapping))
        for s in (train, other)
    )
    other = attrs.evolve(other, id="<img src=x onerror=alert(1)>'")
    page = evaluated(task=task, dataset=DatasetConfig(train=train, validation=other))
    assert roof in page.text
    assert other.id in page.text
    assert len(page.all("script")) == 1
    assert all(image.get("src", "data:").startswith("data:") for image in page.all("img"))


def test_eval_goes_on_where_a_scene_cannot_be_drawn(
    experiment: Callable[..., Experiment], kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rv_pipeline.tasks.cells import ChipClassification

    def broken(self: object, extent: object) -> list[object]:
        raise RuntimeError("no pictures today")

    made = experiment()
    run(made, ["analyze", "chip", "train", "predict"], kernel=kernel)
    draw = ChipClassification.display_windows
    calls: list[int] = []

    def second_time(self: ChipClassification, extent: object) -> object:
        calls.append(1)  # the first time is that of the figures
        return draw(self, extent) if len(calls) == 1 else broken(self, extent)  # type: ignore[arg-type]

    monkeypatch.setattr(ChipClassification, "display_windows", second_time)
    run(made, ["eval"], kernel=kernel)
    folder = Path(made.output_uri("eval"))
    assert json.loads((folder / "eval.json").read_text())["overall"]["cells"] == 64
    assert "no pictures today" in Elements((folder / "report.html").read_text("utf-8")).text


def test_debug_puts_chips_with_their_labels_on_contact_sheets(
    experiment: Callable[..., Experiment], kernel: Kernel
) -> None:
    made = experiment(backend=kernel.backend_config("TOY_CLASSIFICATION").with_debug())
    run(made, ["analyze", "chip"], kernel=kernel)
    folder = Path(made.output_uri("chip"))
    assert sorted(p.name for p in (folder / "debug").iterdir()) == [
        "train-1.png",
        "validation-1.png",
    ]
    with Image.open(folder / "debug" / "train-1.png") as sheet:
        assert sheet.width > 1000
    # They are not part of the chips: without them nothing is cut again.
    for path in (folder / "debug").iterdir():
        path.unlink()
    (report,) = [r for r in run(made, ["chip"], kernel=kernel) if r.command == "chip"]
    assert report.status == "skipped"


def test_without_debug_there_are_no_contact_sheets(
    experiment: Callable[..., Experiment], kernel: Kernel
) -> None:
    made = experiment()
    run(made, ["analyze", "chip"], kernel=kernel)
    assert not Path(made.output_uri("chip"), "debug").exists()


def test_training_curves_are_drawn_from_what_training_left(
    evaluated: Callable[..., Elements],
    experiment: Callable[..., Experiment],
    kernel: Kernel,
    tmp_path: Path,
) -> None:
    made = experiment()
    run(made, ["analyze", "chip", "train", "predict"], kernel=kernel)
    lines = ["epoch,loss,val_loss,learning_rate", "1,0.9,1.0,0.1", "2,0.5,,0.1", "3,0.4,0.6,nan"]
    Path(made.output_uri("train"), "history.csv").write_text("\n".join(lines))
    run(made, ["eval"], kernel=kernel)
    page = Elements(Path(made.output_uri("eval"), "report.html").read_text("utf-8"))
    assert "loss by epoch: training ends at 0.4; validation ends at 0.6" in page.text
    assert "learning rate by epoch: training ends at 0.1" in page.text


def test_history_is_read_from_the_backends_report_where_there_is_no_file(
    kernel: Kernel, tmp_path: Path
) -> None:
    report = {"history": [{"step": 10, "loss": 2.0}, {"step": 20, "loss": "1.5", "note": "x"}, 7]}
    (tmp_path / "trained.json").write_text(json.dumps({"report": report}))
    output = Output(str(tmp_path), kernel)
    assert read_history(output) == [{"step": 10.0, "loss": 2.0}, {"step": 20.0, "loss": 1.5}]
    (tmp_path / "trained.json").write_text("{}")
    assert read_history(output) == []


def test_a_chart_shows_the_whole_of_its_lines() -> None:
    (chart,) = charts([{"epoch": float(i), "loss": v} for i, v in enumerate((5.0, -1.0, 7.5))])
    numbers = [float(n) for n in re.findall(r"-?[\d.]+", chart.lines[0].path)]
    assert all(chart.left <= x <= chart.right for x in numbers[::2])
    assert all(chart.top <= y <= chart.bottom for y in numbers[1::2])
    assert chart.lines[0].last == "7.5"


def test_epochs_are_marked_by_whole_numbers() -> None:
    (short,) = charts([{"epoch": 1.0, "loss": 2.0}, {"epoch": 2.0, "loss": 1.0}])
    assert [tick.text for tick in short.x_ticks] == ["1", "2"]


def test_a_constant_figure_and_a_single_line_of_history_are_no_trouble() -> None:
    assert charts([{"epoch": 1.0, "loss": 0.3}]) == []
    (chart,) = charts([{"epoch": 1.0, "loss": 0.3}, {"epoch": 2.0, "loss": 0.3}])
    assert chart.y_ticks


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (3.0, 97.0, [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]),
        (-0.001, 0.001, [-0.001, -0.0005, 0.0, 0.0005, 0.001]),
    ],
)
def test_ticks_are_round_numbers_around_the_values(
    low: float, high: float, wanted: list[float]
) -> None:
    assert ticks(low, high, 5) == wanted


def test_numbers_are_aligned_and_texts_are_not() -> None:
    table = Table("t", ("name", "share", "note"), [("a", "12.5 %", "x"), ("b", "1200345", "7")])
    page = Elements(
        render(Page(kicker="k", title="t", sections=[Section(title="s", tables=[table])]))
    )
    assert [h.get("class") for h in page.all("th") if h["scope"] == "col"] == [
        None,
        "figure",
        None,
    ]


def test_long_numbers_show_their_thousands() -> None:
    table = Table("t", ("name", "pixels"), [("123456", "123456"), ("b", "4096")])
    page = Elements(
        render(Page(kicker="k", title="t", sections=[Section(title="s", tables=[table])]))
    )
    assert "123,456" in page.text and "4,096" in page.text
    assert page.text.count("123456") == 1  # a name stays a name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-38", "\u221238"),
        ("+1612", "+1,612"),
        ("-1612", "\u22121,612"),
        ("-", "-"),
        ("a-1", "a-1"),
    ],
)
def test_signs_are_set_as_signs(text: str, expected: str) -> None:
    assert grouped(text) == expected


def test_a_confusion_matrix_of_many_classes_is_a_list_of_what_is_confused() -> None:
    names = [f"class {i}" for i in range(60)]
    counts = [[5 if t == p else 0 for p in range(60)] for t in range(60)]
    counts[7][9] = 15
    matrix = ConfusionMatrix(names, counts)
    assert matrix.confusions().rows == [["class 7", "class 9", "15", "75.0%"]]
    html = render(Page(kicker="k", title="t", sections=[Section(title="s", matrix=matrix)]))
    assert len(Elements(html).all("td")) < 10


def test_a_chart_is_told_to_who_does_not_see_it() -> None:
    history = [{"epoch": 1.0, "loss": 1.0}, {"epoch": 2.0, "loss": 0.25}]
    page = Elements(
        render(
            Page(
                kicker="k", title="t", sections=[Section(title="Training", charts=charts(history))]
            )
        )
    )
    assert "loss by epoch: training ends at 0.25" in page.text
