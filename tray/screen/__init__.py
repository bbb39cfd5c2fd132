"""The icon and its menu on the screen. `icon.TrayIcon` is what the program shows views with; it chooses the backend.

- `gtk`: Linux with GTK, by an `indicator` or a `status_icon`; its menu, window and display are the `gtk_*` modules.
- `rebuilt`: Windows (`windows`), macOS, and X11 without a toolkit (`xorg`).
"""
