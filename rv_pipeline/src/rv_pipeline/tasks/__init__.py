"""What can be learned from scenes, one module a task."""
