"""The page in a real browser: nothing wider than a screen, small or large, and no message in the console."""

import html
import re
import shutil
import subprocess

import pytest

from brainct.report.build import report
from brainct.run.rehearse import rehearse
from tests.conftest import tiny_plan

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--virtual-time-budget=10000",
)  # fmt: skip

FRAME = """<!doctype html><body><iframe width={width} height=900 srcdoc="{page}"></iframe><script>
onload = () => {{
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const broken = [...page.images].filter(one => getComputedStyle(one).display != "none" && !one.naturalWidth).length;
  document.body.textContent = `wider by ${{root.scrollWidth - root.clientWidth}}, broken ${{broken}},
    ground ${{getComputedStyle(page.body).backgroundColor}}`;
}};
</script>"""
"""Holds the page in a frame as wide as a screen, and says how it came out."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of a real run on the phantom."""
    folder = tmp_path_factory.mktemp("browser") / "run"
    site = folder.parent / "site.yaml"
    site.write_text("kind: phantom\nphantom: {scans: 16}\nbatch_size: 4\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINCT_SITE", str(site))
        rehearse(tiny_plan(evaluate_every=1), ["site-1", "a-hospital-with-" + "a-very-long-name-" * 6], folder)
        return report([folder])[0].read_text()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize(("scheme", "ground"), [(1, "rgb(255, 255, 255)"), (0, "rgb(18, 22, 28)")])
def test_nothing_is_wider_than_the_screen_and_the_console_is_silent(page, tmp_path, width, scheme, ground):
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(width=width, page=html.escape(page)))
    command = [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000",
               f"--blink-settings=preferredColorScheme={scheme}", "--dump-dom", frame.as_uri()]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert re.search(r"wider by 0, broken 0", shown.stdout), shown.stdout[-500:]
    assert f"ground {ground}" in shown.stdout
    assert "CONSOLE" not in shown.stderr
