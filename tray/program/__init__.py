"""The program around the tray: its first step, its threads, its signals, and what it says without a console.

- `start.main`: the command `aura-ollama`. `at_login`: the same command for the session's start.
- `bridge.Bridge`: the loop on its own thread. `toast_thread`: one for toasts. `signals`: what ends the program.
- `windowed`: what a program without a console says in boxes.
"""
