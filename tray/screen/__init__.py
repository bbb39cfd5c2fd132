"""The icon and its menu on the screen, one module a toolkit. `icon.TrayIcon` is what the program shows views with."""
