"""The main job from end to end: draw scenes, run the experiment, predict with the bundle.

    python examples/quickstart/quickstart.py [--out FOLDER] [--fast]

`nox -s quickstart` does the same in an environment of its own. With ``--fast`` the model trains
for a few steps only: enough to see that everything works, not to learn anything.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from picture import draw_picture
from rv_pipeline.samples import draw_sample_scenes

EXPERIMENT = Path(__file__).with_name("experiment.yaml")


def rv(*words: str | Path) -> None:
    """Run the `rv` command of this environment."""
    command = [str(Path(sys.executable).with_name("rv")), *map(str, words)]
    print("\n$ " + " ".join(["rv", *command[1:]]), flush=True)
    done = subprocess.run(command, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def show_metrics(path: Path) -> None:
    overall = json.loads(path.read_text())["overall"]
    print(f"\n{'':12}{'precision':>10}{'recall':>10}{'F1':>10}{'cells':>8}")
    rows = {**overall["classes"], "macro": overall["macro"]}
    for name, row in rows.items():
        figures = "".join(f"{row[key]:10.3f}" for key in ("precision", "recall", "f1"))
        print(f"{name:12}{figures}{row.get('support', overall['macro'].get('support', '')):>8}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/quickstart"))
    parser.add_argument("--fast", action="store_true", help="train for a few steps only")
    options = parser.parse_args()
    start = time.monotonic()

    print("Drawing sample scenes ...", flush=True)
    scenes = draw_sample_scenes(options.out / "data")
    arguments = ["-a", "data", str(options.out / "data"), "-a", "root", str(options.out)]
    if options.fast:
        arguments += ["-a", "epochs", "1"]
    rv("run", EXPERIMENT, *arguments)

    bundle = options.out / "bundle" / "quickstart" / "bundle.zip"
    unseen = options.out / "unseen.geojson"
    rv("predict", bundle, scenes.unseen.image, unseen)
    picture = options.out / "unseen.png"
    draw_picture(picture, scenes.unseen.image, scenes.unseen.buildings, unseen)

    metrics = options.out / "eval" / "quickstart" / "eval.json"
    show_metrics(metrics)
    made = {
        "metrics": metrics,
        "model": options.out / "train" / "quickstart",
        "bundle": bundle,
        "prediction of an unseen scene": unseen,
        "picture: image, truth, prediction": picture,
    }
    print()
    for name, path in made.items():
        if not path.exists():
            sys.exit(f"{path} was not made")
        print(f"{name:36}{path}")
    print(f"\ndone in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
