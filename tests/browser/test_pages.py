"""Reports and previews in a real browser: they load, fit, can be read and zoomed."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

PAGES = ("report", "preview", "full")
WIDTHS = (400, 1400)

# The elements that hold text, each with its color, size and weight, and the color behind it.
TEXTS = """
const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
function rgba(color) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  const text = walker.currentNode.data.trim();
  if (!text || !element.checkVisibility() || element.closest(".unseen, script, title")) continue;
  const style = getComputedStyle(element);
  const svg = element.closest("svg");
  let behind = [255, 255, 255];
  for (let at = element; at; at = at.parentElement) {
    const [r, g, b, a] = rgba(getComputedStyle(at).backgroundColor);
    if (a > 0.99) { behind = [r, g, b]; break; }
  }
  found.push({ text, ink: rgba(svg ? style.fill : style.color).slice(0, 3), behind });
}
return found;
"""

# What sticks out of the window, unless something around it scrolls or cuts it.
OUTSIDE = """
const wide = [];
for (const element of document.body.querySelectorAll("*")) {
  const box = element.getBoundingClientRect();
  if (!box.width || box.right <= innerWidth + 1 && box.left >= -1) continue;
  if (element.parentElement.closest(".wide, .frame") || element.closest(".unseen")) continue;
  wide.push(`${element.tagName}.${element.className}: ${box.left}..${box.right}`);
}
return wide;
"""


def scale(browser: Any, number: int = 0) -> list[float]:
    """How far each pane of a viewer that is seen is zoomed."""
    return browser.js(
        "return [...document.querySelectorAll('.viewer')[arguments[0]].querySelectorAll('.move')]"
        ".filter((move) => move.offsetWidth)"
        ".map((move) => new DOMMatrix(getComputedStyle(move).transform).a)",
        number,
    )


def corner(browser: Any) -> list[float]:
    """Where the first pane's picture starts, in pixels."""
    return browser.js(
        "const m = new DOMMatrix(getComputedStyle(document.querySelector('.move')).transform);"
        "return [m.e, m.f];"
    )


def frame_box(browser: Any) -> tuple[float, float, float, float]:
    """The first frame that is seen, brought into the middle of the window: x, y, width, height."""
    box = browser.js(
        "const f = [...document.querySelectorAll('.frame')].find((f) => f.offsetWidth);"
        "f.scrollIntoView({ block: 'center', behavior: 'instant' });"
        "const b = f.getBoundingClientRect(); return [b.x, b.y, b.width, b.height];"
    )
    settle(browser)
    return tuple(box)


def settle(browser: Any) -> None:
    """Wait until what was done has been drawn."""
    browser.execute_async_script(
        "const done = arguments[0];"
        "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50)))"
    )


def mouse(browser: Any, kind: str, x: float, y: float, **more: Any) -> None:
    browser.cdp("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)


def click(browser: Any, x: float, y: float) -> None:
    mouse(browser, "mousePressed", x, y, button="left", clickCount=1)
    mouse(browser, "mouseReleased", x, y, button="left", clickCount=1)


def press(browser: Any, key: str) -> None:
    browser.cdp(
        "Input.dispatchKeyEvent", type="keyDown", key=key, text=key if len(key) == 1 else ""
    )
    browser.cdp("Input.dispatchKeyEvent", type="keyUp", key=key)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_without_a_word_of_complaint(
    browser: Any, pages: dict[str, Path], name: str, width: int
) -> None:
    browser.show(pages[name], width)
    assert browser.get_log("browser") == []
    assert browser.js("return document.querySelectorAll('h1').length") == 1


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_nobody_for_anything(browser: Any, pages: dict[str, Path], name: str) -> None:
    browser.show(pages[name])
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    others = [url[:60] for url in asked if not url.startswith("data:")]
    assert others == [pages[name].as_uri()[:60]]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_its_images_are_there(browser: Any, pages: dict[str, Path], name: str, width: int) -> None:
    browser.show(pages[name], width)
    sizes = browser.js(
        "return [...document.images].map((i) => [i.complete, i.naturalWidth, i.naturalHeight,"
        " i.hasAttribute('alt')])"
    )
    assert len(sizes) >= 6
    assert all(done and across > 0 and down > 0 and alt for done, across, down, alt in sizes)
    seen = browser.js("return [...document.images].filter((i) => i.offsetWidth > 50).length")
    assert seen >= 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, *WIDTHS])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_sticks_out(
    browser: Any, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    browser.show(pages[name], width, scheme)
    assert browser.js("return document.documentElement.scrollWidth") <= width
    assert browser.js(OUTSIDE) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_text_can_be_read_in_light_and_dark(
    browser: Any, pages: dict[str, Path], name: str, scheme: str
) -> None:
    browser.show(pages[name], 1400, scheme)
    texts = browser.js(TEXTS)
    assert len(texts) > 30
    faint = [t for t in texts if contrast(t["ink"], t["behind"]) < 4.5]
    assert faint == []
    paper = browser.js("return getComputedStyle(document.body).backgroundColor")
    bright = int(paper.split("(")[1].split(",")[0]) > 128
    assert bright == (scheme == "light")


def contrast(one: list[float], other: list[float]) -> float:
    """The contrast ratio of WCAG 2.1."""

    def light(color: list[float]) -> float:
        parts = [c / 255 for c in color]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", PAGES)
def test_names_are_never_markup(browser: Any, pages: dict[str, Path], name: str) -> None:
    browser.show(pages[name])
    assert browser.js("return document.querySelectorAll('[onclick], body b').length") == 0
    assert browser.js("return document.querySelectorAll('script').length") == 1


def test_buttons_zoom_all_layers_at_once(browser: Any, pages: dict[str, Path]) -> None:
    browser.show(pages["report"])
    assert scale(browser) == [1, 1, 1, 1]
    browser.js("document.querySelector('[data-do=in]').click()")
    assert scale(browser) == [1.5] * 4
    assert browser.js("return document.querySelector('.zoom output').textContent") == "1.5\u00d7"
    browser.js("document.querySelector('[data-do=reset]').click()")
    assert scale(browser) == [1] * 4


def test_viewers_do_not_move_each_other(browser: Any, pages: dict[str, Path]) -> None:
    browser.show(pages["full"])
    browser.js("document.querySelector('[data-do=in]').click()")
    assert scale(browser, 0) == [1.5] * 4
    assert scale(browser, 1) == [1] * 4


def test_the_wheel_zooms_a_chosen_picture_around_the_pointer(
    browser: Any, pages: dict[str, Path]
) -> None:
    browser.show(pages["report"])
    x, y, width, height = frame_box(browser)
    at = (x + width / 4, y + height / 2)
    click(browser, *at)
    mouse(browser, "mouseWheel", *at, deltaX=0, deltaY=-120)
    settle(browser)
    (zoom, *others) = scale(browser)
    assert zoom > 1.2
    assert others == [zoom] * 3
    left, top = corner(browser)
    assert left == pytest.approx(-(zoom - 1) * width / 4, abs=2)
    assert top == pytest.approx(-(zoom - 1) * height / 2, abs=2)


def test_the_wheel_scrolls_past_a_picture_that_was_not_chosen(
    browser: Any, pages: dict[str, Path]
) -> None:
    browser.show(pages["report"])
    x, y, width, height = frame_box(browser)
    before = browser.js("return scrollY")
    mouse(browser, "mouseWheel", x + width / 2, y + height / 2, deltaX=0, deltaY=-120)
    browser.execute_async_script("setTimeout(arguments[0], 500)")
    assert scale(browser) == [1] * 4
    assert browser.js("return scrollY") < before


def test_a_zoomed_picture_is_dragged_but_never_out_of_sight(
    browser: Any, pages: dict[str, Path]
) -> None:
    browser.show(pages["report"])
    browser.js("document.querySelector('[data-do=in]').click()")
    x, y, width, height = frame_box(browser)
    middle = (x + width / 2, y + height / 2)
    start = corner(browser)
    mouse(browser, "mousePressed", *middle, button="left", clickCount=1)
    mouse(browser, "mouseMoved", middle[0] + 20, middle[1] + 10, button="left", buttons=1)
    moved = corner(browser)
    assert moved == pytest.approx([start[0] + 20, start[1] + 10], abs=1)
    mouse(browser, "mouseMoved", middle[0] + 5000, middle[1], button="left", buttons=1)
    mouse(browser, "mouseReleased", *middle, button="left", clickCount=1)
    assert corner(browser)[0] == pytest.approx(0, abs=0.5)


def test_keys_zoom_move_and_choose_layers(browser: Any, pages: dict[str, Path]) -> None:
    browser.show(pages["report"])
    browser.js("document.querySelector('.stage').focus()")
    press(browser, "+")
    assert scale(browser)[0] == 1.5
    before = corner(browser)[0]
    press(browser, "ArrowRight")
    assert corner(browser)[0] < before
    press(browser, "0")
    assert scale(browser)[0] == 1
    press(browser, "4")
    shown = (
        "return [...document.querySelectorAll('.pane')].filter((p) => p.offsetWidth)"
        ".map((p) => p.querySelector('figcaption').textContent)"
    )
    assert browser.js(shown) == ["Mistakes"]


def test_two_fingers_zoom(browser: Any, pages: dict[str, Path]) -> None:
    browser.show(pages["report"], 400)
    browser.cdp("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
    x, y, width, height = frame_box(browser)
    middle, row = x + width / 2, y + height / 2

    def touch(kind: str, apart: float) -> None:
        points = [
            {"x": middle - apart, "y": row, "id": 0},
            {"x": middle + apart, "y": row, "id": 1},
        ]
        browser.cdp("Input.dispatchTouchEvent", type=kind, touchPoints=points if apart else [])

    touch("touchStart", 40)
    for apart in (50, 60, 80):
        touch("touchMove", apart)
    touch("touchEnd", 0)
    settle(browser)
    assert scale(browser)[0] == pytest.approx(80 / 40, abs=0.1)


def test_layers_are_chosen_by_their_tabs(browser: Any, pages: dict[str, Path]) -> None:
    browser.show(pages["full"])
    shown = (
        "return [...document.querySelectorAll('.viewer')[2].querySelectorAll('.pane')]"
        ".map((p) => p.offsetWidth > 0)"
    )
    assert browser.js(shown) == [True] * 4
    tabs = "document.querySelectorAll('.viewer')[2].querySelectorAll('.tabs input')"
    for number in range(4):
        browser.js(f"{tabs}[{number}].click()")
        assert browser.js(shown) == [n == number for n in range(4)]
    browser.js(f"{tabs}[4].click()")
    assert browser.js(shown) == [True] * 4
    strength = (
        "const v = document.querySelectorAll('.viewer')[2];"
        "const s = v.querySelector('[type=range]');"
        "s.value = 20; s.dispatchEvent(new Event('input'));"
        "return [...v.querySelectorAll('.over')].map((o) => getComputedStyle(o).opacity)"
    )
    assert browser.js(strength) == ["0.2", "0.2", "1"]
    shown_slider = (
        "return document.querySelectorAll('.viewer')[2].querySelector('.strength').offsetWidth > 0"
    )
    for number, soft in enumerate([False, True, True, False, True]):  # the last: all layers
        browser.js(f"{tabs}[{number}].click()")
        assert browser.js(shown_slider) == soft


def test_everything_that_can_be_done_can_be_reached_by_the_keyboard(
    browser: Any, pages: dict[str, Path]
) -> None:
    browser.show(pages["full"])
    silent = browser.js(
        "return [...document.querySelectorAll('button, input, a, [tabindex]')]"
        ".filter((e) => e.checkVisibility() && (e.tabIndex < 0 ||"
        " !(e.ariaLabel || e.textContent.trim() || e.labels?.length))).map((e) => e.outerHTML)"
    )
    assert silent == []
    levels = browser.js(
        "return [...document.querySelectorAll('h1, h2, h3')].map((h) => +h.tagName[1])"
    )
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_printed_pages_show_all_layers_and_no_controls(
    browser: Any, pages: dict[str, Path]
) -> None:
    browser.show(pages["report"], 800)
    browser.js("document.querySelector('.tabs input').click()")
    browser.js("document.querySelector('[data-do=in]').click()")
    browser.cdp("Emulation.setEmulatedMedia", media="print")
    assert browser.js("return document.querySelector('.bar').offsetHeight") == 0
    shown = (
        "return [...document.querySelectorAll('.pane')].filter((p) => p.offsetWidth > 100).length"
    )
    assert browser.js(shown) == 4
    assert scale(browser) == [1] * 4


def test_without_scripts_the_layers_are_all_there(browser: Any, pages: dict[str, Path]) -> None:
    browser.show(pages["report"])
    browser.cdp("Emulation.setScriptExecutionDisabled", value=True)
    browser.get(pages["report"].as_uri())
    browser.cdp("Emulation.setScriptExecutionDisabled", value=False)
    shown = (
        "return [...document.querySelectorAll('.pane')].filter((p) => p.offsetWidth > 100).length"
    )
    assert browser.js(shown) == 4
    assert browser.js("return document.querySelector('.bar').offsetHeight") == 0
