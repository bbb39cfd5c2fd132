"""The two settings files: Aura's `settings.json` and our `ollama-sidecar.json`. Only this room reads or writes them.

- `paths.Paths`: the paths of everything in one data folder.
- `reader.SettingsReader`: the values in force. One for the whole program.
- `edit.write_settings`, `edit.write_sidecar`: change single keys; every other byte stays. `edit.create_sidecar`.
- `schema`: names, types, defaults and limits. A new setting is a field of `SidecarSettings`.
- `json_text`, `file`: a JSON text with places of its members, and one file on the disk; for this room only.
"""
