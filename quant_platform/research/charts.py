"""Pictures: a run's equity curve before and after charges, its days and symbols, and the heat map of a sweep."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.money import format_rupees
from quant_platform.domain.session import ist_date
from quant_platform.research.metrics import Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURES = ("equity.png", "daily_pnl.png", "symbols.png")

_GROSS, _NET, _GAIN, _LOSS, _INK = "#7f8fa6", "#1f4e9c", "#2e8b57", "#c0392b", "#333333"
_MOST_LABELS = 10
_LONGEST_CAPTION = 90
_MOST_CELLS_WITH_NUMBERS = 200

Floats = NDArray[np.float64]


def draw(metrics: Metrics, folder: Path, caption: str) -> None:
    """Write :data:`PICTURES` into a folder.

    Args:
        metrics: of the run.
        folder: where to; it exists.
        caption: what was run, for the title of every picture.
    """
    for name, picture in zip(
        PICTURES, (_equity(metrics, caption), _daily(metrics, caption), _symbols(metrics, caption)), strict=True
    ):
        picture.savefig(folder / name, dpi=110)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure  # noqa: PLC0415  # heavy, and only reports with pictures need it

    return Figure(figsize=(width, height), layout="constrained")


def _title(what: str, caption: str) -> str:
    """Two lines, of which none leaves the picture, however many files were run."""
    return f"{what}\n{textwrap.shorten(caption, _LONGEST_CAPTION, placeholder=' …')}"


def _equity(metrics: Metrics, caption: str) -> "Figure":
    """Points stand side by side as they were recorded: nights and holidays take no room."""
    figure = _figure(11, 6.5)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    curve = metrics.curve
    at = np.arange(curve.ts.size)
    start = metrics.summary.starting_balance / 100
    upper.plot(at, curve.gross / 100, color=_GROSS, linewidth=1.2, label="before charges")
    upper.plot(at, curve.equity / 100, color=_NET, linewidth=1.4, label="after charges")
    upper.axhline(start, color=_INK, linewidth=0.7, linestyle=":")
    upper.set_title(_title("Equity", caption), loc="left")
    upper.legend(loc="best", frameon=False)
    lower.fill_between(at, curve.drawdown / 100, 0, color=_LOSS, alpha=0.45, linewidth=0)
    lower.set_title("Drawdown after charges", loc="left", fontsize="medium")
    for axes in (upper, lower):
        _in_rupees(axes, "y")
    _label_days(lower, curve.ts)
    return figure


def _label_days(axes: "Axes", ts: NDArray[np.int64]) -> None:
    days = [ist_date(stamp) for stamp in ts.tolist()]
    firsts = [place for place, day in enumerate(days) if place == 0 or day != days[place - 1]]
    shown = firsts[:: max(1, -(-len(firsts) // _MOST_LABELS))]
    axes.set_xticks(shown, [f"{days[place]:%d %b %Y}" for place in shown], rotation=30, ha="right")
    if ts.size > 1:
        axes.set_xlim(0, ts.size - 1)


def _daily(metrics: Metrics, caption: str) -> "Figure":
    figure = _figure(11, 4.5)
    axes = figure.subplots()
    at = np.arange(len(metrics.days))
    axes.bar(at - 0.2, [day.gross / 100 for day in metrics.days], 0.4, color=_GROSS, label="before charges")
    net = [day.net / 100 for day in metrics.days]
    axes.bar(at + 0.2, net, 0.4, color=[_GAIN if value > 0 else _LOSS for value in net], label="after charges")
    axes.axhline(0, color=_INK, linewidth=0.7)
    shown = at[:: max(1, -(-len(at) // _MOST_LABELS))]
    axes.set_xticks(shown, [f"{metrics.days[place].day:%d %b %Y}" for place in shown], rotation=30, ha="right")
    axes.set_title(_title("Profit and loss by day, before (grey) and after charges", caption), loc="left")
    _in_rupees(axes, "y")
    return figure


def _symbols(metrics: Metrics, caption: str) -> "Figure":
    ordered = sorted(metrics.symbols, key=lambda part: part.net, reverse=True)
    figure = _figure(9, 1.6 + 0.32 * len(ordered))
    axes = figure.subplots()
    at = np.arange(len(ordered))
    axes.barh(at - 0.2, [part.gross / 100 for part in ordered], 0.4, color=_GROSS)
    net = [part.net / 100 for part in ordered]
    axes.barh(at + 0.2, net, 0.4, color=[_GAIN if value > 0 else _LOSS for value in net])
    axes.axvline(0, color=_INK, linewidth=0.7)
    axes.set_yticks(at, [part.label.split(":", 1)[-1] for part in ordered])
    axes.invert_yaxis()
    axes.set_title(_title("Profit and loss by symbol, before (grey) and after charges", caption), loc="left")
    _in_rupees(axes, "x")
    return figure


def draw_heat_map(
    picture: Path, names: Sequence[str], values: Sequence[Sequence[str]], net: Floats, caption: str
) -> None:
    """Write the results of a sweep over one or two parameters as a picture.

    Args:
        picture: the file.
        names: of the parameters, at most two.
        values: of each of them, in order.
        net: rupees after charges, an axis a parameter.
        caption: what was run.
    """
    figure = _figure(max(6.0, 2.5 + 0.8 * len(values[-1])), 4.5 if len(names) == 1 else 2.5 + 0.45 * len(values[0]))
    axes = figure.subplots()
    if len(names) == 1:
        axes.plot(np.arange(net.size), net, color=_NET, marker="o", linewidth=1.4)
        axes.axhline(0, color=_INK, linewidth=0.7)
        _in_rupees(axes, "y")
    else:
        widest = max(float(np.abs(net).max()), 1.0)
        colours = axes.imshow(net, cmap="RdYlGn", vmin=-widest, vmax=widest, aspect="auto", origin="lower")
        figure.colorbar(colours, format=lambda value, _: _whole_rupees(value))
        if net.size <= _MOST_CELLS_WITH_NUMBERS:
            for (row, column), amount in np.ndenumerate(net):
                ink = "white" if abs(amount) > 0.8 * widest else _INK
                axes.text(column, row, _whole_rupees(amount), ha="center", va="center", fontsize="small", color=ink)
        axes.set_yticks(np.arange(len(values[0])), values[0])
        axes.set_ylabel(names[0])
    axes.set_xticks(np.arange(len(values[-1])), values[-1], rotation=30, ha="right")
    axes.set_xlabel(names[-1])
    axes.set_title(_title("Profit and loss after charges", caption), loc="left")
    figure.savefig(picture, dpi=110)


def _whole_rupees(amount: float) -> str:
    return format_rupees(100 * round(amount)).removesuffix(".00")


def _in_rupees(axes: "Axes", which: str) -> None:
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_formatter(lambda value, _: format_rupees(round(value * 100)).removesuffix(".00"))
    axes.set_axisbelow(True)
    axes.grid(True, axis="y" if which == "y" else "x", linewidth=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
