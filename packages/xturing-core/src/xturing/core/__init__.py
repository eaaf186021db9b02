"""What the xturing libraries share: errors, registries, settings, files and events."""
