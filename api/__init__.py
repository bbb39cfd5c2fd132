"""The REST sidecar: parses, asks core, serialises. Knows `core`, never `tray`."""
