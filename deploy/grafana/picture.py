"""The dashboard as a page without Grafana, from what a Prometheus holds: for the picture in docs/, and to see each query answered.

    npm install --no-save uplot
    python -m deploy.grafana.picture http://localhost:9090 --uplot node_modules/uplot/dist --minutes 15 --output dashboard.html
    chromium --headless --hide-scrollbars --window-size=1500,4610 --screenshot=dashboard.png dashboard.html

It lays the panels out as the dashboard says and draws their answers with uPlot, the library that Grafana draws with.
"""

from __future__ import annotations

import html
import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

DASHBOARD: Final = Path(__file__).with_name("dashboards") / "notary.json"
STEP: Final = 5
"""Seconds between two points."""
RATE_INTERVAL: Final = "1m"
_LABEL: Final = re.compile(r"{{\s*(\w+)\s*}}")
_SCRIPT: Final = """
const colours = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d", "#fade2a"];
const size = (value, unit) => {
  if (value === null) return "";
  if (unit === "percentunit") return (value * 100).toFixed(value < 0.1 ? 1 : 0) + " %";
  if (unit === "bytes") return value < 1048576 ? (value / 1024).toFixed(0) + " KiB" : (value / 1048576).toFixed(0) + " MiB";
  if (unit === "s") return value < 1 ? (value * 1000).toFixed(1) + " ms" : value < 7200 ? value.toFixed(1) + " s" : (value / 86400).toFixed(0) + " d";
  return (Number.isInteger(value) ? value : value.toPrecision(3)) + (unit === "reqps" || unit === "ops" ? " /s" : "");
};
for (const panel of panels) {
  const place = document.getElementById("panel" + panel.id);
  const axis = {stroke: "#9fa7b3", grid: {stroke: "#2c3235"}, ticks: {stroke: "#2c3235"}};
  new uPlot({
    width: place.clientWidth, height: place.clientHeight - 30 - 18 * Math.min(3, Math.ceil(panel.names.length / 2)),
    cursor: {show: false}, scales: {y: {range: (u, low, high) => [0, high > 0 ? high * 1.1 : 1]}},
    axes: [axis, {...axis, size: 70, values: (u, values) => values.map(value => size(value, panel.unit))}],
    legend: {markers: {width: 8}, live: false},
    series: [{}, ...panel.names.map((label, n) => ({label, stroke: colours[n % colours.length], width: 1.5, points: {show: false}}))],
  }, panel.data, place);
}
"""
_STYLE: Final = """
body {background: #111217; color: #ccccdc; font: 13px sans-serif; margin: 8px; width: 1480px}
.dashboard {display: grid; grid-template-columns: repeat(24, 1fr); grid-auto-rows: 30px; gap: 6px}
.row {font-size: 15px; font-weight: bold; padding-top: 6px}
.panel {background: #181b1f; border: 1px solid #2c3235; overflow: hidden}
.panel h2 {font-size: 13px; font-weight: 500; margin: 5px 8px; height: 18px}
.plot {height: calc(100% - 28px)}
.u-legend {font-size: 11px; text-align: left !important; max-height: 54px; overflow: hidden}
.none {color: #6e7680; padding: 70px 0; text-align: center}
"""


@click.command()
@click.argument("prometheus")
@click.option(
    "--uplot", type=click.Path(path_type=Path, exists=True), required=True, help="The folder dist of uPlot."
)
@click.option(
    "--minutes", type=click.IntRange(1, 1440), default=15, show_default=True, help="How far back to look."
)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The page to write.")
def main(prometheus: str, uplot: Path, minutes: int, output: Path) -> None:
    """Write the page, and tell which panels have no data.

    \b
    Example:
      python -m deploy.grafana.picture http://localhost:9090 --uplot node_modules/uplot/dist --output dashboard.html
    """
    end = int(time.time()) // STEP * STEP
    begin = end - minutes * 60
    places: list[str] = []
    drawn: list[dict[str, Any]] = []
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        area = f"grid-area: {at['y'] + 1} / {at['x'] + 1} / span {at['h']} / span {at['w']}"
        title = html.escape(panel["title"])
        if panel["type"] == "row":
            places.append(f'<div class="row" style="{area}">{title}</div>')
            continue
        names, values = _answers(prometheus, panel["targets"], begin, end)
        inside = (
            f'<div class="plot" id="panel{panel["id"]}"></div>'
            if names
            else '<div class="none">No data</div>'
        )
        places.append(f'<div class="panel" style="{area}"><h2>{title}</h2>{inside}</div>')
        if not names:
            click.echo(f"no data: {panel['title']}")
            continue
        unit = panel["fieldConfig"]["defaults"].get("unit", "short")
        times = list(range(begin, end + 1, STEP))
        drawn.append({"id": panel["id"], "unit": unit, "names": names, "data": [times, *values]})
    parts = [
        f'<!doctype html><meta charset="utf-8"><style>{(uplot / "uPlot.min.css").read_text()}{_STYLE}</style>',
        f'<div class="dashboard">{"".join(places)}</div>',
        f"<script>{(uplot / 'uPlot.iife.min.js').read_text()}</script>",
        f"<script>const panels = {json.dumps(drawn)};{_SCRIPT}</script>",
    ]
    output.write_text("\n".join(parts))
    click.echo(f"wrote {output}: {len(drawn)} panels with data")


def _answers(
    prometheus: str, targets: list[dict[str, Any]], begin: int, end: int
) -> tuple[list[str], list[list[float | None]]]:
    """The names and the values, one for each step, of all series that the queries answer with."""
    names: list[str] = []
    values: list[list[float | None]] = []
    for target in targets:
        query = target["expr"].replace("$__rate_interval", RATE_INTERVAL).replace("$instance", ".*")
        asked = urllib.parse.urlencode({"query": query, "start": begin, "end": end, "step": STEP})
        with urllib.request.urlopen(f"{prometheus}/api/v1/query_range?{asked}", timeout=30) as answer:
            found = json.load(answer)["data"]["result"]
        for series in found:
            points = {int(at): float(value) for at, value in series["values"] if value != "NaN"}
            if not points:
                continue
            names.append(_named(target["legendFormat"], series["metric"]))
            values.append([points.get(at) for at in range(begin, end + 1, STEP)])
    return names, values


def _named(legend: str, labels: Mapping[str, str]) -> str:
    return _LABEL.sub(lambda match: labels.get(match[1], ""), legend)


if __name__ == "__main__":
    main()
