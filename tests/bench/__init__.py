"""What a request costs, beside what people would pick instead: ``uv run --group bench python -m tests.bench``."""
