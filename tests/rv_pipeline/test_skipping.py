"""What runs again, what does not, and why."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from rv_pipeline.commands import command_names
from rv_pipeline.fingerprint import Fingerprint, differences, plain
from rv_pipeline.runners.local import RunOptions

from rv_core import ConfigError, Kernel, NotFoundError
from rv_pipeline import ChipOptions, Experiment, PredictOptions, dag, run

Make = Callable[..., Experiment]


def states(reports: list[Any]) -> dict[str, str]:
    return {r.command: r.status for r in reports}


def plan(experiment: Experiment, kernel: Kernel) -> dict[str, str]:
    """Command -> why it would run; those that would be skipped are left out."""
    steps = dag.build([experiment], command_names(), kernel)
    decisions = dag.plan(steps, kernel)
    return {s.command.name: d.reason for s, d in zip(steps, decisions, strict=True) if d.runs}


def test_what_is_unchanged_is_skipped_and_says_so(experiment: Make, kernel: Kernel) -> None:
    run(experiment(), kernel=kernel)
    again = run(experiment(), kernel=kernel)
    assert set(states(again).values()) == {"skipped"}
    assert {r.reason for r in again} == {"unchanged"}


def test_a_dry_plan_runs_nothing(experiment: Make, kernel: Kernel, tmp_path: Path) -> None:
    found = plan(experiment(), kernel)
    assert found["analyze"] == "not yet run"
    assert found["chip"] == "ANALYZE runs before it"
    assert not (tmp_path / "out").exists()


def test_rerun_forces(experiment: Make, kernel: Kernel) -> None:
    run(experiment(), kernel=kernel)
    again = run(experiment(), ["train"], kernel=kernel, options=RunOptions(rerun=True))
    assert [(r.command, r.status, r.reason) for r in again] == [("train", "done", "--rerun")]
    # Training made another model, for all that anyone knows: what depends on it is out of date.
    assert plan(experiment(), kernel)["predict"] == "changed: TRAIN made something else"


def test_a_changed_option_reruns_what_depends_on_it(experiment: Make, kernel: Kernel) -> None:
    run(experiment(), kernel=kernel)
    changed = experiment(backend={"backend": "TOY_CLASSIFICATION", "num_steps": 61})
    found = plan(changed, kernel)
    assert "analyze" not in found
    assert "chip" not in found
    assert found["train"] == "changed: backend.num_steps: 60 -> 61"
    assert found["predict"] == "TRAIN runs before it"
    done = states(run(changed, kernel=kernel))
    assert done == {
        "analyze": "skipped",
        "chip": "skipped",
        "train": "done",
        "predict": "done",
        "eval": "done",
        "bundle": "done",
    }


def test_another_color_trains_nothing_anew(experiment: Make, kernel: Kernel) -> None:
    plain = experiment()
    run(plain, kernel=kernel)
    task = attrs.evolve(plain.task, classes={"roof": "#cc3311", "ground": "#bbbbbb"})
    found = plan(attrs.evolve(plain, task=task), kernel)
    assert found.keys() == {"predict", "eval", "bundle"}
    assert found["predict"].startswith("changed: task.classes.classes[0].color")


def test_how_a_raster_is_reached_and_nan_change_nothing(experiment: Make, kernel: Kernel) -> None:
    def made(access: str) -> Experiment:
        base = experiment()
        raster = attrs.evolve(base.dataset.train[0].raster, nodata=math.nan, access=access)
        train = attrs.evolve(base.dataset.train[0], raster=raster)
        return attrs.evolve(base, dataset=attrs.evolve(base.dataset, train=train))

    run(made("auto"), ["analyze", "chip"], kernel=kernel)
    again = states(run(made("copy"), ["analyze", "chip"], kernel=kernel))
    assert again == {"analyze": "skipped", "chip": "skipped"}


def test_model_defaults_count_as_their_values(experiment: Make, kernel: Kernel) -> None:
    spelled = {"backend": "TOY_CLASSIFICATION", "model_defaults": "TOY_QUICK", "num_steps": 60}
    run(experiment(backend=spelled), ["analyze", "chip", "train"], kernel=kernel)
    quick = {"backend": "TOY_CLASSIFICATION", "model_defaults": "TOY_QUICK"}
    assert "backend.num_steps: 60 -> 50" in plan(experiment(backend=quick), kernel)["train"]


def test_a_changed_image_reruns_what_depends_on_it(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    run(experiment(), kernel=kernel)
    image = tmp_path / "data/south.tif"
    os.utime(image, (1, 1))
    found = plan(experiment(), kernel)
    assert found["chip"] == f"changed: {image} changed"
    assert "analyze" not in found  # the validation scene is not in the statistics


def test_chips_that_come_out_the_same_do_not_train_again(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    run(experiment(), kernel=kernel)
    os.utime(tmp_path / "data/north.geojson", (1, 1))
    done = states(run(experiment(), kernel=kernel))
    assert done["chip"] == "done"
    assert done["train"] == "skipped"


def test_another_version_of_the_backend_trains_again(
    experiment: Make, install_toy: Callable[[str], None]
) -> None:
    run(experiment(), kernel=Kernel())
    install_toy("1.3.0")
    found = plan(experiment(), Kernel())
    assert found["train"] == "changed: acme-toy-backend 1.2.0 -> 1.3.0"
    assert "chip" not in found


def test_an_output_that_lost_a_file_is_made_again(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    run(experiment(), kernel=kernel)
    (tmp_path / "out/bundle/roofs/bundle.zip").unlink()
    assert plan(experiment(), kernel) == {"bundle": "damaged: bundle.zip is missing"}
    (tmp_path / "out/train/roofs/checkpoint.json").unlink()  # nobody needs it any more
    assert set(plan(experiment(), kernel)) == {"bundle"}
    (tmp_path / "out/train/roofs/model.json").write_text("{}")
    assert "model.json has 2 bytes" in plan(experiment(), kernel)["train"]


def test_how_a_run_is_watched_does_not_count(experiment: Make, kernel: Kernel) -> None:
    run(experiment(), kernel=kernel)
    fields = {"backend": "TOY_CLASSIFICATION", "num_steps": 60}
    watched = experiment(backend={**fields, "train_options": {"do_monitoring": False}})
    assert plan(watched, kernel) == {}
    assert plan(experiment(predict=PredictOptions(batch_size=7)), kernel) == {}


def test_a_command_alone_needs_what_comes_before_it(experiment: Make, kernel: Kernel) -> None:
    with pytest.raises(ConfigError, match="needs the output of CHIP") as caught:
        run(experiment(), ["train"], kernel=kernel)
    assert "run chip first" in str(caught.value.hint)


def test_experiments_may_share_chips(experiment: Make, kernel: Kernel, tmp_path: Path) -> None:
    several = [
        experiment(
            id=f"lr{n}", chip_key="cells", backend={"key": "TOY_CLASSIFICATION", "num_steps": n}
        )
        for n in (10, 20)
    ]
    reports = run(several, ["analyze", "chip", "train"], kernel=kernel)
    assert [r.command for r in reports].count("chip") == 1
    assert sorted(p.name for p in (tmp_path / "out/chip").iterdir()) == ["cells"]
    assert set(states(run(several, ["analyze", "chip", "train"], kernel=kernel)).values()) == {
        "skipped"
    }


def test_experiments_that_share_a_key_must_agree(experiment: Make, kernel: Kernel) -> None:
    one = experiment(id="a", chip_key="cells")
    other = attrs.evolve(one, id="b", chip=ChipOptions(stride=4))
    with pytest.raises(ConfigError, match=r"share the chip output 'cells'.*chip.stride: null -> 4"):
        run([one, other], kernel=kernel)


def test_what_experiments_share_must_be_made_from_the_same(
    experiment: Make, kernel: Kernel
) -> None:
    """Predictions of two models cannot lie in one place, though they are asked for alike."""
    one = experiment(id="a", predict_key="maps")
    more = {"key": "TOY_CLASSIFICATION", "num_steps": 99}
    other = experiment(id="b", predict_key="maps", backend=more)
    with pytest.raises(ConfigError, match=r"share the predict output 'maps'.*TRAIN: .*60 -> 99"):
        run([one, other], kernel=kernel)


def test_an_input_that_is_missing_is_noticed_before_anything_runs(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    (tmp_path / "data/south.geojson").unlink()
    with pytest.raises(NotFoundError, match=r"south\.geojson"):
        run(experiment(), kernel=kernel)
    assert not (tmp_path / "out").exists()


def test_the_record_says_what_is_there_and_how_it_was_made(
    experiment: Make, kernel: Kernel, tmp_path: Path
) -> None:
    run(experiment(), kernel=kernel)
    record = json.loads((tmp_path / "out/train/roofs/_done.json").read_text())
    folder = tmp_path / "out/train/roofs"
    assert record["files"] == {
        p.name: p.stat().st_size for p in folder.iterdir() if not p.name.startswith("_")
    }
    assert record["fingerprint"]["plugins"]["acme-toy-backend"] == "1.2.0"
    assert record["fingerprint"]["config"]["backend"]["num_steps"] == 60
    assert {p.name for p in folder.iterdir() if p.name.startswith("_")} == {"_done.json"}


def test_a_record_holds_no_secret_and_a_new_signature_changes_nothing() -> None:
    def signed(password: str) -> Fingerprint:
        uris = [
            f"sftp://me:{password}@host/a.tif",
            f"https://host/b.tif?X-Amz-Signature={password}&v=1",
        ]
        return Fingerprint(plain({"uris": uris}), dict.fromkeys(uris, "1 B"))

    one, other = signed("HUSH"), signed("WORD")
    assert one.digest == other.digest
    assert differences(one, other) == []
    record = json.dumps(one.to_dict())
    assert "HUSH" not in record
    assert "sftp://me@host/a.tif" in record
    assert "v=1" in record
    assert next(iter(one.inputs)).startswith("sftp://me:HUSH@"), "it cannot be read any more"
    assert "HUSH" not in " ".join(differences(Fingerprint({}), one))
