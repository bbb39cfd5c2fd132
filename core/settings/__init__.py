"""The two settings files: Aura's `settings.json` and our `ollama-sidecar.json`. Nobody else reads or writes them.

- `paths.Paths`: where everything of one data folder lies.
- `reader.SettingsReader`: the values in force. One for the whole program.
- `edit.write_settings`, `edit.write_sidecar`: change single keys; every other byte stays. `edit.create_sidecar`.
- `schema`: names, types, defaults and limits.
"""
