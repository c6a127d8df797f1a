"""What a template user adds: a feature, in one folder, the core untouched."""
