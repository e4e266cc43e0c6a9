"""Figures as people read them."""

from __future__ import annotations


def format_figure(value: float | None) -> str:
    """Three significant digits without an exponent."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:#.3g}"


def format_ratio(ratio: float | None) -> str:
    """Two digits behind the point, "-" for none."""
    return "-" if ratio is None else f"{ratio:.2f}"
