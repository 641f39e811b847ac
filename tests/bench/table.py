"""The table: what was measured, ours, the reference beside it, and whether the target holds."""
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

WIDTHS = (58, 8, 11, 34, 11, 7, 30, 5)
HEADS = ("what", "unit", "ours", "against", "reference", "ratio", "target", "holds")


@dataclass
class Row:
    """One comparison. `ours` and `reference` are in `unit`; None: not measured. `holds` is None where there is no
    target, or nothing to judge."""

    what: str
    unit: str
    ours: float | None
    against: str
    reference: float | None
    target: str
    holds: bool | None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.reference if self.ours is not None and self.reference else None

    def cells(self) -> tuple[str, ...]:
        holds = "" if self.holds is None else "yes" if self.holds else "NO"
        return (
            self.what,
            self.unit,
            number(self.ours),
            self.against,
            number(self.reference),
            "" if self.ratio is None else f"{self.ratio:.2f}",
            self.target,
            holds,
        )


def number(value: float | None) -> str:
    """Three significant digits, thousands apart."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


class Table:
    """Prints a row as soon as it is known."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.line(HEADS)

    def line(self, cells: tuple[str, ...]) -> None:
        parts = [f"{cell:>{width}}" if head in ("ours", "reference", "ratio") else f"{cell:<{width}}"
                 for cell, width, head in zip(cells, WIDTHS, HEADS)]
        print(" ".join(parts).rstrip(), flush=True)

    def add(
        self,
        what: str,
        unit: str,
        ours: float | None,
        against: str = "",
        reference: float | None = None,
        target: str = "",
        holds: bool | None = None,
    ) -> None:
        row = Row(what, unit, ours, against, reference, target, holds)
        self.rows.append(row)
        self.line(row.cells())

    def at_most(
        self, what: str, unit: str, ours: float | None, against: str, reference: float | None, times: float
    ) -> None:
        """A row whose target is at most `times` the reference."""
        known = ours is not None and reference is not None
        self.add(
            what, unit, ours, against, reference, f"at most {times:g} x", ours <= times * reference if known else None
        )

    def at_least(
        self, what: str, unit: str, ours: float | None, against: str, reference: float | None, times: float
    ) -> None:
        known = ours is not None and reference is not None
        self.add(
            what, unit, ours, against, reference, f"at least {times:g} x", ours >= times * reference if known else None
        )

    def limit(
        self,
        what: str,
        unit: str,
        ours: float | None,
        target: str,
        holds: bool | None,
        against: str = "",
        reference: float | None = None,
    ) -> None:
        """A row whose target is a figure of its own."""
        self.add(what, unit, ours, against, reference, target, holds if ours is not None else None)

    def missing(self, what: str, unit: str, why: str, target: str = "") -> None:
        """A row that could not be measured; `why` stands for the reference."""
        self.add(what, unit, None, why, None, target, None)

    def write(self, path: Path) -> None:
        rows = [
            {
                "what": row.what,
                "unit": row.unit,
                "ours": row.ours,
                "reference": row.reference,
                "ratio": row.ratio,
                "target": row.target,
                "holds": row.holds,
                "against": row.against,
            }
            for row in self.rows
        ]
        path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
