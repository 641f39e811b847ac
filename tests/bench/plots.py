"""The plots: how latencies are distributed, and what a message costs with more channels. SVG, in the build folder."""
from __future__ import annotations

from pathlib import Path


def draw(curves: dict[str, dict[str, list]], folder: Path) -> list[Path]:
    """One file a plot; curves as Settings keeps them. Returns the files. Needs matplotlib."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    files = []
    for name, lines in curves.items():
        figure, axes = pyplot.subplots(figsize=(8, 4.5))
        cost = name.startswith("cost")
        for label, points in lines.items():
            if cost:
                axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=label)
            else:
                axes.plot([latency / 1000 for _, latency in points], [part for part, _ in points], label=label)
        axes.set_xscale("log")
        axes.set_xlabel("channels" if cost else "microseconds")
        axes.set_ylabel("microseconds a message" if cost else "part of the messages that are no later")
        if cost:
            axes.set_ylim(bottom=0)
        axes.set_title(name.replace("-", ", "))
        axes.grid(True, which="both", linewidth=0.3)
        axes.legend()
        figure.tight_layout()
        files.append(folder / f"{name}.svg")
        figure.savefig(files[-1])
        pyplot.close(figure)
    return files
