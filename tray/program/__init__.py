"""The program around the tray: its first step, its threads, its signals, and what it says without a console."""
