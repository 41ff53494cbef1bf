"""Widgets on the line API; they know neither the app nor the store."""
