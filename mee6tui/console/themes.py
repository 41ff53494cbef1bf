"""Textual's themes of our palettes, and a palette for any other theme of Textual's."""

from __future__ import annotations

from dataclasses import replace

from textual.theme import Theme

from mee6tui.console import look
from mee6tui.console.look import Palette


def theme_of(palette: Palette) -> Theme:
    """The theme that gives Textual's own widgets the palette's colours."""
    colors = palette.colors
    return Theme(
        name=palette.name,
        primary=colors["accent"],
        secondary=colors["paused"],
        accent=colors["accent"],
        foreground=colors["text"],
        background=colors["background"],
        surface=colors["raised"],
        panel=colors["panel"],
        success=colors["good"],
        warning=colors["warning"],
        error=colors["error"],
        dark=palette.dark,
        variables={
            "scrollbar": colors["faint"],
            "scrollbar-hover": colors["quiet"],
            "scrollbar-active": colors["accent"],
            "scrollbar-background": colors["background"],
            "scrollbar-background-hover": colors["background"],
            "scrollbar-background-active": colors["background"],
            "scrollbar-corner-color": colors["background"],
            "text-muted": colors["quiet"],
        },
    )


def palette_of(theme: Theme) -> Palette:
    """Ours for another theme: its grounds and its text, our tones for states."""
    base = look.DARK if theme.dark else look.LIGHT
    made = theme.to_color_system().generate()
    named = {
        "background": "background",
        "panel": "panel",
        "raised": "surface",
        "text": "foreground",
        "accent": "accent",
    }
    taken = {tone: made[name][:7] for tone, name in named.items() if made.get(name, "").startswith("#")}
    return replace(base, name=theme.name, colors={**base.colors, **taken})
