"""What a person's desktop offers: start at login, open, copy, choose, toasts, a tray. Equal names on every platform.

Not part of `core.platform` itself, which the shim imports and which therefore stays small. Every function blocks, up to
the time it names: call it in a thread, never on the UI's nor on the loop's.

- `login_command()`: how to start this very program, with absolute paths.
- `starts_at_login()`: whether our entry is there, switched on, and names a program that exists.
- `start_at_login(command, icon)`: write that entry, whatever it was before; at the next login the session runs
  `command`. `icon`, the absolute path of an image, is for Linux. Raises OSError; then the old entry stands. Where a
  person can do something about it, its text is a sentence with the way out, as for the next.
- `stop_at_login()`: remove the entry; fine if there is none. Raises OSError.
- `open_path(path)`: show a folder or a text file in the user's own program; False if there is none, or it fails within
  2 s. It lives on without us.
- `open_url(url)`: show a page of the web, by its http or https address, in the user's browser; as `open_path`. False
  also for any other address, which could start a program.
- `copy_text(text)`: put a text on the clipboard, 6 s at most; False if that is impossible.
- `choose_file(title, folder)`: ask for a file, beginning in `folder`; its path, or None if the person cancels. Blocks
  as long as the dialog is open. Raises FileNotFoundError, with a sentence, where no dialog can be shown, and OSError.
- `close_dialogs()`: end what `choose_file` has open, as if the person had cancelled; on Windows a dialog ends with the
  program, and this does nothing. From any thread; does not block.
- `notify(title, text, icon)`: show a toast and forget it, 2 s at most; False if nobody shows it. `icon` (Linux) is a
  theme's name for one or an absolute path.
- `Notifications`: shows each `Note` in the place of the last with its topic, and calls back when a person clicks it.
  `show(note)`, from one thread at a time: 2 s at most; False if nobody shows it, as always on Windows, whose tray icons
  have balloons of their own. `close()` lets go of what it holds. On macOS no click comes back.
- `alert(title, text)`: show a box, on Windows, and return once the person has closed it, however long that takes; False
  where there is none. For programs that have no stderr, which exist there only.
- `has_screen()`: whether this session has a display at all. Does not block.
- `session_has_tray()`: whether a tray is there to show an icon at this moment, 1 s at most.
"""

from __future__ import annotations

import sys

from core.platform.desktop.note import Note, Urgency

if sys.platform == "win32":
    from core.platform.desktop.windows import (
        Notifications,
        alert,
        choose_file,
        close_dialogs,
        copy_text,
        has_screen,
        login_command,
        notify,
        open_path,
        open_url,
        session_has_tray,
        start_at_login,
        starts_at_login,
        stop_at_login,
    )
elif sys.platform == "darwin":
    from core.platform.desktop.darwin import (
        Notifications,
        alert,
        choose_file,
        close_dialogs,
        copy_text,
        has_screen,
        login_command,
        notify,
        open_path,
        open_url,
        session_has_tray,
        start_at_login,
        starts_at_login,
        stop_at_login,
    )
else:
    from core.platform.desktop.linux import (
        alert,
        choose_file,
        close_dialogs,
        copy_text,
        has_screen,
        login_command,
        notify,
        open_path,
        open_url,
        session_has_tray,
        start_at_login,
        starts_at_login,
        stop_at_login,
    )
    from core.platform.desktop.notifications import Notifications

NO_TRAY_HOST = (
    "Nothing on this desktop shows tray icons; the icon appears as soon as something does. On GNOME that takes the "
    "AppIndicator extension."
)
"""What `session_has_tray` is False for, in words for a person."""

__all__ = [
    "NO_TRAY_HOST",
    "Note",
    "Notifications",
    "Urgency",
    "alert",
    "choose_file",
    "close_dialogs",
    "copy_text",
    "has_screen",
    "login_command",
    "notify",
    "open_path",
    "open_url",
    "session_has_tray",
    "start_at_login",
    "starts_at_login",
    "stop_at_login",
]
