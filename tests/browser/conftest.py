"""A real Chromium without a screen, and the pages that it looks at."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rv_core.testing.fixtures import write_distribution
from rv_pipeline.report.charts import charts
from rv_pipeline.report.contact_sheets import contact_sheets
from rv_pipeline.report.page import (
    ChipSheet,
    ConfusionMatrix,
    Page,
    Section,
    colors_by_name,
    render,
)
from rv_pipeline.report.pictures import encode
from rv_pipeline.report.preview import preview
from rv_pipeline.report.scene_views import comparison, failed
from rv_pipeline.samples import draw_sample_scenes
from rv_pipeline.tasks.task import Table
from rv_pipeline.windows import cover
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from rv_core import BoxLabels, ChipLabel, ChipSample, ClassMap, DataError, Kernel, PixelLabels
from rv_pipeline import (
    CellOptions,
    ChipClassificationConfig,
    DatasetConfig,
    Experiment,
    SceneConfig,
    open_scene,
    run,
)

TOY = Path(__file__).resolve().parent.parent / "plugin_examples" / "toy_backend"
NASTY = "</script><b onclick='x'>roof</b> & \"co\" " + "andaverylongnamewithoutanyspace" * 2
CLASSES = ClassMap.of("building", NASTY, "background")


def which(program: str) -> str | None:
    return shutil.which(program, path=os.pathsep.join([os.environ["PATH"], "/usr/bin"]))


class Browser:
    """Chromium, and what a reader of a page does and sees."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def __getattr__(self, name: str) -> Any:
        return getattr(self.driver, name)

    def show(self, page: Path, width: int = 1400, scheme: str = "light", media: str = "") -> None:
        """Load a page in a window of this width."""
        self.cdp("Emulation.setTouchEmulationEnabled", enabled=False)
        self.cdp("Emulation.setScriptExecutionDisabled", value=False)
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.cdp("Emulation.setEmulatedMedia", media=media, features=features)
        self.driver.get_log("browser")  # what earlier pages said
        self.driver.get_log("performance")
        self.driver.get(page.as_uri())

    def cdp(self, command: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, parameters)

    def js(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    chromium, chromedriver = which("chromium"), which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("needs Chromium and its driver (Debian: apt-get install chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    profile = tmp_path_factory.mktemp("profile")
    for argument in (
        "--headless=new",
        "--no-sandbox",  # which root, in a container, cannot have
        "--disable-dev-shm-usage",
        "--disable-gpu",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(chromedriver))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


@pytest.fixture(scope="session")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel that knows the toy backend."""
    site = tmp_path_factory.mktemp("site")
    project = tomllib.loads((TOY / "pyproject.toml").read_text())["project"]
    for package in (TOY / "src").iterdir():
        shutil.copytree(package, site / package.name)
    write_distribution(site, project["name"], project["entry-points"], version=project["version"])
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        yield Kernel()


@pytest.fixture(scope="session")
def pages(kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """``report``: of an experiment that ran; ``preview``: of the same one, with a scene that is
    not there; ``full``: everything that a page can hold, with awkward names."""
    folder = tmp_path_factory.mktemp("pages")
    samples = draw_sample_scenes(folder / "data", size=256)
    train, validation = (
        SceneConfig(id=s.id, raster=str(s.image), labels=str(s.buildings))
        for s in (samples.train, samples.validation)
    )
    missing = SceneConfig(id="missing", raster=str(folder / "missing.tif"))
    cells = CellOptions(size=32, background_class="background", infer_cells=True)

    def experiment(**dataset: Any) -> Experiment:
        return Experiment(
            id="buildings",
            root_uri=str(folder / "out"),
            task=ChipClassificationConfig(classes=["building", "background"], cells=cells),
            backend={"backend": "TOY_CLASSIFICATION", "num_steps": 60},
            dataset=DatasetConfig(train=train, validation=validation, **dataset),
        )

    run(experiment(), ["analyze", "chip", "train", "predict", "eval"], kernel=kernel)
    made = {"report": Path(experiment().output_uri("eval"), "report.html")}
    for name, page in (
        ("preview", preview(experiment(test=missing), kernel).page),
        ("full", full_page(validation, kernel)),
    ):
        made[name] = folder / f"{name}.html"
        made[name].write_text(render(page), "utf-8")
    return made


def full_page(config: SceneConfig, kernel: Kernel) -> Page:
    rng = np.random.default_rng(0)
    mask = np.kron(rng.integers(0, 3, (8, 8)), np.ones((32, 32))).astype(np.uint8)
    corners = rng.uniform(0, 200, (30, 2)).astype(np.float32)
    boxes = np.hstack([corners, corners + 40])
    kinds: dict[str, Callable[[Any, int], Any]] = {
        "cells": lambda window, turn: ChipLabel((window.col_off // 64 + turn) % 3),
        "boxes": lambda window, turn: BoxLabels(
            boxes[turn * 5 :], rng.integers(0, 3, 30)[turn * 5 :]
        ),
        "pixels": lambda window, turn: PixelLabels(np.roll(mask, 16 * turn, axis=1)),
    }
    scenes = []
    with open_scene(config, kernel, with_labels=False) as scene:
        for name, label in kinds.items():
            windows = cover(scene.extent, 64 if name == "cells" else 256)
            view = comparison(
                scene,
                windows,
                lambda ws, label=label: [label(w, 0) for w in ws],
                lambda ws, label=label: [label(w, 1) for w in ws],
                CLASSES,
                background=2,
                headline=f"{name}: {NASTY}",
            )
            scenes.append(view)
        pixels, _ = scene.raster.read(scene.extent)
    chips = [
        ChipSample(pixels, label(cover(scene.extent, 256)[0], 0), scene.extent, NASTY)
        for label in kinds.values()
    ]
    (sheet,) = contact_sheets(chips, CLASSES)
    names = [NASTY, *(f"class number {i}" for i in range(19))]
    history = [
        {"epoch": float(i), "loss": 1 / i, "val_loss": 1.2 / i, "accuracy": 1 - 1 / i}
        for i in range(1, 40)
    ]
    wide = Table("Wide", [f"heading {i}" for i in range(40)], [[f"{i / 7:.3f}" for i in range(40)]])
    long = Table(NASTY, ("name", "text"), [(NASTY, "many words " * 60), ("building", NASTY)])
    return Page(
        kicker="Evaluation report",
        title=NASTY,
        headline=f"mIoU 0.8, {NASTY}",
        facts=[("Task", NASTY), ("Date", "today")],
        sections=[
            Section(
                title="Figures",
                tables=[wide, long],
                matrix=ConfusionMatrix(names, rng.integers(0, 5000, (20, 20)).tolist(), "pixels"),
            ),
            Section(title="Training", text=NASTY, charts=charts(history)),
            Section(title="Scenes", scenes=[*scenes, failed(NASTY, DataError(NASTY, hint=NASTY))]),
            Section(
                title="Chips",
                sheets=[ChipSheet("train", encode(sheet.image, "photo", 1 << 20, "chips"), NASTY)],
            ),
        ],
        colors=colors_by_name(CLASSES),
    )
