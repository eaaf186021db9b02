"""How a model comes to OpenVINO: traced, rounded, checked, and kept on disk."""
