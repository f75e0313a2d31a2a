"""The player in a real browser: Chromium, driven by playwright. Skipped if one of them is missing.

    apt-get install chromium; pip install playwright axe-core-python

The environment variable CHROMIUM names the browser; otherwise it is chromium, chromium-browser or google-chrome.
"""

import contextlib
import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import data, nn, optim, viz
from minigrad.nn import functional as F
from minigrad.viz.narration import PHASES

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the player is not tested")
BROWSER = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed: the player is not tested")
QUIET = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync "
    "--no-first-run"
)
# Everything visible: the elements, and the pixels of the canvases.
SNAPSHOT = """() => document.body.outerHTML
  + [...document.querySelectorAll("canvas")].map((c) => c.toDataURL()).join()
  + document.getElementById("time").value"""


def digits_step(path=None, hidden=8, batch=6):
    """A step of a small network on digits, the same at every call: the player, and the gradients of a second model."""
    digits = data.Digits(train=True)
    images = digits.data[:batch].reshape(batch, 64).float() / 16
    labels = digits.targets[:batch].long()
    models = []
    for _ in range(2):
        mg.manual_seed(0)
        models.append(nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10)))
    model, other = models
    F.cross_entropy(other(images), labels, reduction="none").mean().backward()
    gradients = {name: p.grad.numpy() for name, p in other.named_parameters()}
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    loss = F.cross_entropy(model(images), labels, reduction="none").mean()
    player = viz.player(loss, model, optimizer, path, image=(8, 8))
    return player, gradients


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=BROWSER, args=QUIET.split())
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def step(tmp_path_factory):
    return digits_step(tmp_path_factory.mktemp("player") / "step.html")


@contextlib.contextmanager
def opened(browser, path, width=1280, height=800, scheme="light"):
    """The page, opened from disk. A request, a console message or an error is a failure."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    page, problems = context.new_page(), []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: request.url == Path(path).as_uri() or problems.append(request.url))
    page.goto(Path(path).as_uri())
    yield page
    context.close()
    assert problems == []


@pytest.fixture
def page(browser, step):
    with opened(browser, step[0].path) as page:
        yield page


def until(page, condition):
    """Wait until an expression is true. The page's content security policy forbids playwright's wait_for_function."""
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(25)
    pytest.fail(f"not true within 15 s: {condition}")


def frame(page):
    return int(page.evaluate("document.body.dataset.frame"))


def test_page_opens_from_disk_at_the_first_frame(page, step):
    assert page.inner_text("h2") == "One training step"
    assert page.inner_text("#count") == f"1 / {step[0].frames}"
    assert page.locator(".card").count() == 11
    assert page.evaluate("performance.getEntriesByType('resource').length") == 0


def test_frames_look_the_same_forward_and_backward(page, step):
    forward = [page.evaluate(SNAPSHOT)]
    for _ in range(step[0].frames - 1):
        page.click("#step")
        forward.append(page.evaluate(SNAPSHOT))
    assert len(set(forward)) == step[0].frames
    for expected in reversed(forward[:-1]):
        page.click("#back")
        assert page.evaluate(SNAPSHOT) == expected, f"frame {frame(page)}"
    page.select_option("#speed", "100")
    page.click("#play")
    until(page, f"document.body.dataset.frame === '{step[0].frames - 1}' && !document.body.className")
    assert page.evaluate(SNAPSHOT) == forward[-1]
    page.click("#first")
    assert page.evaluate(SNAPSHOT) == forward[0]


def test_every_phase_is_reached_by_button_and_by_playing(page):
    for phase in range(1, 6):
        page.click(f"#phases li:nth-child({phase}) button")
        assert page.get_attribute("body", "data-phase") == str(phase)
        assert page.locator("[aria-current]").inner_text().endswith(PHASES[phase - 1])
    page.click("#first")
    page.evaluate(
        "window.seen = new Set(['1']); new MutationObserver(() => seen.add(document.body.dataset.phase))"
        ".observe(document.body, {attributes: true})"
    )
    page.select_option("#speed", "100")
    page.click("#play")
    until(page, "window.seen.size === 5")


def test_play_and_pause(page):
    page.select_option("#speed", "100")
    page.locator("h2").click()
    page.keyboard.press("Space")
    until(page, "Number(document.body.dataset.frame) >= 2")
    page.click("#play")
    paused = frame(page)
    assert page.get_attribute("#play", "aria-label") == "Play"
    page.wait_for_timeout(200)
    assert frame(page) == paused


def shown_gradients(page, player):
    """The gradient of each parameter as the page shows it, cell by cell."""
    vertices = [v.name for v in player.recording.vertices]
    last = page.evaluate("recording.frames.findIndex((f) => f.phase === 4) - 1")
    page.evaluate(f"go({last})")
    found = {}
    for heat in page.locator("#panels figure").all():
        name = heat.locator("figcaption b").inner_text().removesuffix(".grad")
        assert name in vertices
        found[name] = heat.evaluate(
            """(figure) => {
              const id = Number(figure.dataset.array), cells = [];
              for (let r = 0; r < grid(arrays[id]).rows; r++)
                for (let c = 0; c < grid(arrays[id]).columns; c++) {
                  figure.start(r, c);
                  cells.push(figure.querySelector(".readout").textContent);
                }
              return cells;
            }"""
        )
    return found


def test_shown_gradients_equal_the_engines(page, step):
    player, gradients = step
    shown = shown_gradients(page, player)
    assert set(shown) == set(gradients)
    for name, cells in shown.items():
        places, numbers = zip(*(cell.split(" = ") for cell in cells))
        values = [np.float32(text.replace("−", "-")) for text in numbers]
        assert np.array_equal(np.array(values).reshape(gradients[name].shape), gradients[name])
        assert places[-1] == str([n - 1 for n in gradients[name].shape])


def test_cards_show_gradients_only_while_they_exist(page, step):
    names = [v.name for v in step[0].recording.vertices]
    count = "Array.from(document.querySelectorAll('.card')).map((c) => c.querySelectorAll('canvas').length)"
    assert page.evaluate(count) == [int(v.node is None) for v in step[0].recording.vertices]
    page.keyboard.press("4")
    with_gradient = {n for n, c in zip(names, page.evaluate(count)) if c == 2}
    assert with_gradient == set(step[1])
    page.keyboard.press("5")
    assert set(page.evaluate(count)) == {1}


def test_keyboard_reaches_everything(page, step):
    last = step[0].frames - 1
    keys = page.keyboard
    keys.press("ArrowRight")
    keys.press("ArrowRight")
    assert frame(page) == 2
    keys.press("ArrowLeft")
    assert frame(page) == 1
    keys.press("End")
    assert frame(page) == last
    keys.press("Home")
    assert frame(page) == 0
    keys.press("3")
    assert page.get_attribute("body", "data-phase") == "3"
    keys.press("n")
    assert page.get_attribute("#numbers", "aria-pressed") == "true"
    keys.press("n")
    keys.press("t")
    assert page.get_attribute("html", "data-theme") == "dark"

    reached = set()
    for _ in range(40):
        keys.press("Tab")
        what = page.evaluate(
            "[document.activeElement.id || document.activeElement.className, document.activeElement.tagName]"
        )
        reached.add(what[0].split()[0] if what[0] else what[1])
    assert {"theme", "graph", "card", "first", "back", "play", "step", "time", "speed", "numbers"} <= reached

    page.locator("#play").focus()
    keys.press("Enter")
    assert page.get_attribute("#play", "aria-label") == "Pause"
    keys.press("Enter")
    assert page.get_attribute("#play", "aria-label") == "Play"
    page.locator("#time").focus()
    here = frame(page)
    keys.press("ArrowRight")
    assert frame(page) == here + 1
    page.locator(".card", has_text="0.weight").focus()
    keys.press("Enter")
    focus = page.evaluate("recording.frames[state.frame]")
    weight = [v.name for v in step[0].recording.vertices].index("0.weight")
    assert weight in (focus["focus"], focus.get("target"))


def test_arrow_keys_in_a_matrix_read_its_numbers(page, step):
    page.keyboard.press("4")
    here = frame(page)
    heats = page.locator("#panels .heat")
    heats.first.focus()
    for key in ["ArrowUp"] * 10 + ["ArrowLeft"] * 70 + ["ArrowRight", "ArrowDown"]:
        page.keyboard.press(key)
    assert frame(page) == here
    update = step[0].recording.updates[0]
    read = [figure.locator(".readout").inner_text() for figure in page.locator("#panels figure").all()]
    for text, array in zip(read, (update.before, update.step, update.after), strict=True):
        place, value = text.split(" = ")
        assert place == "[1, 1]"
        assert np.float32(value.replace("−", "-")) == array[1, 1]


def test_pointing_at_a_weight_shows_its_path_from_the_loss(page):
    assert page.locator("path.path").count() == 0
    page.locator(".card", has_text="0.weight").hover()
    assert (
        "One path leads from the loss to 0.weight: loss → cross_entropy → linear₂ → relu → linear₁ → 0.weight"
        in page.inner_text("#paths")
    )
    assert page.locator("path.path").count() == 5
    page.locator("h2").hover()
    assert page.locator("path.path").count() == 0
    page.locator("#panels .heat").first.hover()
    assert page.locator("#panels .readout.cell").first.is_visible()


def test_several_paths_from_the_loss_are_counted(browser, tmp_path):
    w = mg.tensor([[1.0, 0.5], [0.25, 1.0]], requires_grad=True)
    h = mg.tensor([[1.0, 2.0]]) @ w
    viz.player(((h @ w) * h).sum(), path=tmp_path / "paths.html", names={"w": w, "h": h})
    with opened(browser, tmp_path / "paths.html") as page:
        page.locator(".card", has_text="w").first.hover()
        assert "3 paths lead from the loss to w" in page.inner_text("#paths")
        assert page.locator("#phases button:disabled").count() == 2


def test_numbers_button_and_click_on_a_card(page):
    page.locator(".card", has_text="relu").click()
    assert page.inner_text("h2") == "relu"
    assert page.locator("#panels table").count() == 0
    page.click("#numbers")
    assert page.locator("#panels table").count() == 2
    page.locator(".card", has_text="relu").click()
    assert frame(page) > 2
    assert page.locator("#panels table").count() >= 1


def test_every_frame_fits_a_small_laptop_screen(browser, step):
    with opened(browser, step[0].path, 1366, 768) as page:
        heights = page.evaluate(
            "recording.frames.map((_, i) => { go(i); return document.documentElement.scrollHeight; })"
        )
    assert max(heights) <= 768


def test_letters_stand_on_the_cards_of_the_graph(page, step):
    page.evaluate(f"go({step[0].batch_frame - 1})")
    cards = {card.locator("b").inner_text(): card for card in page.locator(".card").all()}
    assert [e.inner_text() for e in cards["2.bias"].locator(".letter").all()] == ["", "dL/db"]
    assert [e.inner_text() for e in cards["linear₂"].locator(".letter").all()] == ["", "G"]
    assert "its gradient is dL/db in the formula" in cards["2.bias"].get_attribute("aria-label")
    assert page.locator(".letter:visible").count() == 2


def axe_source():
    """The source of axe, the accessibility checker."""
    spec = importlib.util.find_spec("axe_core_python")
    if spec is None or spec.origin is None:
        pytest.skip("axe-core-python is not installed: accessibility is not tested")
    return (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280, 1920])
def test_page_is_accessible_and_not_cut_off(browser, step, width, scheme):
    source = axe_source()
    with opened(browser, step[0].path, width, 1080 if width == 1920 else 800, scheme) as page:
        assert page.get_attribute("html", "data-theme") == scheme
        page.evaluate(source)
        phases = page.evaluate("[1, 2, 3, 4, 5].map((n) => recording.frames.findIndex((f) => f.phase === n))")
        for index in [*(phases if width == 1280 else phases[3:4]), step[0].batch_frame - 1]:
            for numbers in (False, True) if width == 400 else (False,):
                page.evaluate(f"state.numbers = {str(numbers).lower()}; go({index})")
                found = page.evaluate("axe.run()")["violations"]
                assert [(v["id"], v["nodes"][0]["html"]) for v in found] == []
                assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_large_mlp_opens_and_advances(browser, tmp_path, record_property):
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    loss = F.cross_entropy(model(mg.rand(64, 784)), mg.randint(0, 10, (64,)))
    player = viz.player(loss, model, optim.SGD(model.parameters(), lr=0.1), tmp_path / "step.html")
    with opened(browser, player.path) as page:
        loaded = page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
        frames = page.evaluate(
            """() => recording.frames.map((_, i) => {
              const start = performance.now();
              go(i);
              document.body.offsetHeight;
              return performance.now() - start;
            })"""
        )
        assert frame(page) == player.frames - 1
        page.evaluate(f"go({player.batch_frame - 1})")
        assert "adds it to all 64 rows" in page.inner_text("#caption")
    # Reported, not asserted: the machine may be busy.
    for name, value in (("bytes", player.path.stat().st_size), ("open_ms", loaded), ("slowest_frame_ms", max(frames))):
        record_property(name, value)
        print(f"{name}: {value:.0f}")
